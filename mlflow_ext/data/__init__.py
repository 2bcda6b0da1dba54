"""Where data comes from, and what exactly it is: sources, fingerprints, versions."""
