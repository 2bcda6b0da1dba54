"""The steps that MLproject runs: New York flights, from source to Production.

One module per step; `main.py` puts them in order. A step is a function of settings (from
project.yaml and the command line) and of the records of earlier steps. To bring your own data,
replace `flights.py` and the three steps that call it: ingest, validate and features.
"""
