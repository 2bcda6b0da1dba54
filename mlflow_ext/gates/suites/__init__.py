"""Suites of expectations: read, run by the engine that fits the table, and put into words."""
