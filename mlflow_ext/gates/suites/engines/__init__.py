"""Engines: how a suite of expectations is run, chosen by where the data is. One module each."""
