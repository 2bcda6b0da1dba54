"""How sure one can be: intervals, tests and estimates, pure functions of arrays and records."""
