"""Tables and rules on which every engine must come to the verdict of GX on pandas.

``compare`` holds what an engine found against the reference: the same success for each rule, and
the same counts where both state them.
"""

import json
from functools import cache
from math import isclose

import numpy as np
import pandas as pd
from test_suites import SUITES, read_tables

from mlflow_ext.gates.suites.document import label, read_suite
from mlflow_ext.gates.suites.engines import pandas as reference
from mlflow_ext.gates.suites.engines.interface import TableSource

ROWS = 3_000
COUNTS = ("element_count", "missing_count", "unexpected_count", "unexpected_percent")


@cache
def table(name, is_broken):
    """The first rows of a real table of one month, or the same with every kind of damage."""
    frame = read_tables("2013-01")[name].iloc[:ROWS].reset_index(drop=True)
    return break_rows(frame) if is_broken else frame


def break_rows(frame):
    """Nulls and values out of range in every column, some integers as floats, repeated rows."""
    frame, random = frame.copy(), np.random.default_rng(0)
    for number, column in enumerate(frame.columns):
        absent, low, high = np.split(random.choice(len(frame), 30, replace=False), 3)
        kind = frame[column].dtype.kind
        if kind == "i" and number % 2:
            frame[column] = frame[column].astype(float)
        if kind in "if":
            frame.loc[low, column], frame.loc[high, column] = -99_999, 1_000_000
        elif kind not in "mM":
            frame.loc[low, column], frame.loc[high, column] = "lower 1", ""
        if frame[column].dtype.kind != "i":
            frame.loc[absent, column] = None
    return pd.concat([frame, frame.iloc[-30:]], ignore_index=True)


@cache
def expected(name, is_broken):
    """What GX says on pandas."""
    source = TableSource(name=name, location=table(name, is_broken))
    return reference.validate(read_suite(SUITES[name]), source)


def compare(found, wanted):
    """Assert that two validations of one suite agree, rule by rule."""
    theirs = {rule_of(outcome): outcome for outcome in wanted.result["results"]}
    ours = {rule_of(outcome) for outcome in found.result["results"]}
    assert ours == set(theirs), ours ^ set(theirs)
    differing = {
        f"{label(outcome['expectation_config'])}: {difference}"
        for outcome in found.result["results"]
        if (difference := differ(outcome, theirs[rule_of(outcome)]))
    }
    assert not differing, differing
    assert (found.rows, found.columns) == (wanted.rows, wanted.columns)


def rule_of(outcome):
    config = outcome["expectation_config"]
    if "rule" in config["meta"]:
        return config["meta"]["rule"]
    kwargs = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
    return config["type"], json.dumps(kwargs, sort_keys=True)


def differ(ours, theirs):
    """Say what two outcomes disagree about; an empty text when nothing."""
    pairs = {"success": (ours["success"], theirs["success"])}
    for key in COUNTS:
        if key in ours["result"] and key in theirs["result"]:
            pairs[key] = ours["result"][key], theirs["result"][key]
    return ", ".join(f"{key} {a}, not {b}" for key, (a, b) in pairs.items() if not is_same(a, b))


def is_same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return isclose(a, b, rel_tol=1e-9)
    return a == b


def rule(kind, **kwargs):
    return {"type": f"expect_{kind}", "kwargs": kwargs, "meta": {}}


def suite(*rules):
    """A suite whose rules are told apart by a number, for GX writes arguments in its own way."""
    numbered = [{**entry, "meta": {"rule": number}} for number, entry in enumerate(rules)]
    return {"name": "odd", "expectations": numbered}


def odd_table():
    """A small table with everything that engines treat differently."""
    random, rows = np.random.default_rng(1), 40
    frame = pd.DataFrame(
        {
            "n": random.integers(0, 9, rows),
            "id": np.arange(rows),
            "x": random.normal(size=rows).round(2),
            "y": random.normal(size=rows).round(2),
            "s": random.choice(["a", "bb", "ccc", "", None], rows),
            "u": random.choice(["a", "bb", "dd", None], rows),
            "t": pd.date_range("2013-01-01", periods=rows, tz="UTC"),
            "is_late": random.choice([True, False], rows),
            "empty": np.full(rows, np.nan),
        }
    )
    frame.loc[::7, "x"] = np.nan
    frame.loc[::5, "y"] = np.nan
    frame.loc[3, "x"] = np.inf
    frame.loc[1, "t"] = pd.NaT
    return frame.assign(z=frame["x"])


OVER_THREE = {"type": "comparison", "column": {"name": "n"}, "operator": ">", "parameter": 3}
GREATER, EQUAL = "column_pair_values_a_to_be_greater_than_b", "column_pair_values_to_be_equal"
KEY, QUANTILES = "compound_columns_to_be_unique", "column_quantile_values_to_be_between"
TYPE, TYPES = "column_values_to_be_of_type", "column_values_to_be_in_type_list"
RANGES = {"quantiles": [0, 0.1, 0.33, 0.5, 0.9, 1], "value_ranges": [[0, 1]] * 6}
MODES = ({}, *({"allow_relative_error": m} for m in ("linear", "lower", "higher", "midpoint")))

ODD_RULES = (
    rule("column_values_to_be_unique", column="n"),
    rule("column_values_to_be_unique", column="x"),
    rule("column_values_to_be_null", column="empty"),
    rule("column_values_to_not_be_null", column="x", mostly=0.9),
    rule("column_values_to_be_between", column="x", min_value=-1, strict_min=True, mostly=0.5),
    rule("column_values_to_be_between", column="t", min_value="2013-01-05T00:00:00+00:00"),
    rule("column_values_to_be_in_set", column="is_late", value_set=[True]),
    rule("column_values_to_not_be_in_set", column="s", value_set=["a"]),
    rule("column_values_to_match_regex", column="s", regex="^[ab]+$"),
    rule("column_value_lengths_to_be_between", column="s", min_value=1, max_value=2),
    rule("column_mean_to_be_between", column="y", min_value=0),
    rule("column_median_to_be_between", column="n", min_value=4),
    rule("column_stdev_to_be_between", column="y", max_value=1),
    rule("column_max_to_be_between", column="empty", max_value=1),
    rule("column_unique_value_count_to_be_between", column="s", max_value=3),
    rule("column_distinct_values_to_equal_set", column="s", value_set=["a", "bb", "ccc", ""]),
    rule("select_column_values_to_be_unique_within_record", column_list=["s", "u"]),
    rule(EQUAL, column_A="s", column_B="u"),
    rule(EQUAL, column_A="x", column_B="z", ignore_row_if="neither"),
    rule(
        "column_pair_values_to_be_in_set",
        column_A="s",
        column_B="u",
        value_pairs_set=[["a", "a"], ["bb", "dd"]],
    ),
    rule(GREATER, column_A="x", column_B="y"),
    rule(GREATER, column_A="x", column_B="y", or_equal=True, mostly=0.3),
    rule(GREATER, column_A="x", column_B="y", row_condition=OVER_THREE),
    rule(GREATER, column_A="x", column_B="z", or_equal=True, ignore_row_if="neither"),
    rule(GREATER, column_A="x", column_B="y", ignore_row_if="either_value_is_missing"),
    rule(KEY, column_list=["s", "n"]),
    rule(KEY, column_list=["s", "u", "n"], mostly=0.5),
    rule(KEY, column_list=["s", "u"], row_condition=OVER_THREE),
    rule(KEY, column_list=["s", "u"], ignore_row_if="any_value_is_missing"),
    *(
        rule(QUANTILES, column=column, quantile_ranges=RANGES, **mode)
        for column in ("y", "n", "empty")
        for mode in MODES
    ),
    *(
        rule(TYPE, column=column, type_=name)
        for column, name in [
            ("n", "int64"),
            ("n", "float64"),
            ("x", "float64"),
            ("s", "str"),
            ("s", "int64"),
            ("is_late", "bool"),
            ("t", "Timestamp"),
            ("t", "datetime64"),
        ]
    ),
    rule(TYPES, column="x", type_list=["int64", "float64"]),
    rule(TYPES, column="s", type_list=["int64", "float64"]),
)
