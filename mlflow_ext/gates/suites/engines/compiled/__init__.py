"""The engine ``compiled``: a suite of Great Expectations in one pass, in bounded memory.

Every expectation of `compilation` becomes Polars expressions; all of them are evaluated together
while a Parquet file is read once, some hundred thousand rows at a time. The verdicts are those that
Great Expectations gives on the same rows in pandas, where NaN is missing, as null is. The library
itself is not imported, unless an expectation has to be handed to it:

* a type that is not compiled, or arguments that Great Expectations would coerce;
* a column whose values pandas and Polars do not share: Python objects, categories, decimals, dates,
  nested values, pandas' own nullable types;
* a regular expression that means something else to another engine (see `patterns`);
* a row condition in free text, or on times;
* whatever would raise: the text of an exception is that of Great Expectations.

It then gets the columns that such expectations name, whole and in memory, and nothing else.

Memory does not grow with the rows, with these exceptions: a key that must be unique takes 8 bytes
a row; quantiles, medians and the rules about distinct values are exact, and hold each distinct
value once; a CSV is read as a whole.

Known differences from Great Expectations in pandas: sums of whole numbers beyond 64 bits (which
wrap in both, but not at the same row), and whole numbers from 2**53 on that are compared with
fractions in object columns.
"""

from __future__ import annotations

from pathlib import Path

from mlflow_ext.gates.suites.engines.interface import Document, TableSource, Validation


def validate(document: Document, source: TableSource) -> Validation:
    """Judge rows in memory, or a ``.parquet``, ``.csv`` or ``.csv.zip`` file.

    Raises:
        SuiteError: The suite names a column that is not there, an unknown expectation or a wrong
            argument. An expectation that raises while it runs is a failed one instead.
        SourceError: The file is missing, truncated or of another kind.
    """
    from mlflow_ext.gates.suites.engines import pandas
    from mlflow_ext.gates.suites.engines.compiled.run import judge_table
    from mlflow_ext.gates.suites.engines.compiled.table import has_usual_names, open_table

    rows = source.location
    assert not isinstance(rows, str), "an address is for the engine 'sql'"
    if not isinstance(rows, Path) and not has_usual_names(rows):
        return pandas.validate(document, source)
    return judge_table(document, open_table(source.name, rows))
