"""Gated mode: the registry itself decides, for every client, and keeps every decision."""
