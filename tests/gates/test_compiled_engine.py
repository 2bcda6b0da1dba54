"""The compiled engine gives the verdicts of Great Expectations on pandas, rule by rule."""

import math
from contextlib import contextmanager

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mlflow_ext.errors import SourceError, SuiteError
from mlflow_ext.gates.suites.engines import compiled
from mlflow_ext.gates.suites.engines import pandas as gx
from mlflow_ext.gates.suites.engines.compiled import keys, table
from mlflow_ext.gates.suites.engines.compiled.patterns import shared_pattern
from mlflow_ext.gates.suites.engines.interface import TableSource
from mlflow_ext.gates.suites.engines.results import raised_text

SEARCH = settings(
    max_examples=20,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # to shrink one costs minutes in Great Expectations
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
RULES_PER_EXAMPLE = 8


def rule(kind, **kwargs):
    return {"type": f"expect_{kind}", "kwargs": kwargs, "meta": {}}


def document(rules):
    return {"name": "suite", "expectations": list(rules)}


def judge(engine, rules, location):
    return engine.validate(document(rules), TableSource(name="table", location=location))


# Tables of few rows and few values, so that rules hold about as often as they break.

FLOATS = st.sampled_from([None, math.nan, 0.0, -0.0, 1.0, 1.5, 2.0, 3.25, math.inf, -math.inf])
FINITE = st.sampled_from([None, 0.0, -1.0, 0.1, 1.5, 2.0, 1e6])
WHOLE = st.sampled_from([-3, 0, 1, 2, 3, 7])
TEXTS = st.sampled_from([None, "", "a", "ab", "AB", "1", "12", "é", "a\n", "x y"])
INSTANTS = st.sampled_from([None, *pd.date_range("2020-01-01", periods=4, freq="12h")])
TRUTHS = st.booleans()

COLUMNS = {
    "float": lambda rows: pd.Series(rows, dtype="float64"),
    "finite": lambda rows: pd.Series(rows, dtype="float64"),
    "single": lambda rows: pd.Series(rows, dtype="float32"),
    "int": lambda rows: pd.Series(rows, dtype="int64"),
    "small": lambda rows: pd.Series(rows, dtype="int16"),
    "text": lambda rows: pd.Series(rows, dtype="str"),
    "word": lambda rows: pd.Series(rows, dtype="str"),
    "time": lambda rows: pd.Series(pd.to_datetime(rows, utc=True)),
    "naive": lambda rows: pd.Series(pd.to_datetime(rows)),
    "bool": lambda rows: pd.Series(rows, dtype="bool"),
    "kind": lambda rows: pd.Series(rows, dtype="category"),
}
VALUES = {
    "float": FLOATS,
    "finite": FINITE,
    "single": FINITE,
    "int": WHOLE,
    "small": WHOLE,
    "text": TEXTS,
    "word": TEXTS,
    "time": INSTANTS,
    "naive": INSTANTS,
    "bool": TRUTHS,
    "kind": TEXTS,
}
NUMBERS = ("float", "finite", "single", "int", "small")


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 9))
    return pd.DataFrame(
        {
            name: build(draw(st.lists(VALUES[name], min_size=rows, max_size=rows)))
            for name, build in COLUMNS.items()
        }
    )


# Rules over them.

numbers = st.sampled_from(NUMBERS)
texts = st.sampled_from(["text", "word"])
anything = st.sampled_from(list(COLUMNS))
bounds = st.sampled_from([-1, 0, 1, 1.5, 2, 3])
mostly = st.sampled_from([1, 1.0, 0.5, 0.8, 0])
flags = st.booleans()
REGEXES = ["^a", r"\d", r"^\w+$", "[A-Z]{2}", "b$", ".", "^$", r"(?i)A", "[^a]", "a|1", r"^[\d ]*$"]


def conditions():
    compare = st.builds(
        lambda column, sign, value: {
            "type": "comparison",
            "column": {"name": column},
            "operator": sign,
            "parameter": value,
        },
        st.sampled_from(["float", "finite", "int", "small", "single"]),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        st.sampled_from([0, 1, 1.5, 2]),
    )
    among = st.builds(
        lambda column, sign, value: {
            "type": "comparison",
            "column": {"name": column},
            "operator": sign,
            "parameter": value,
        },
        st.sampled_from(["text", "word"]),
        st.sampled_from(["IN", "NOT_IN"]),
        st.lists(st.sampled_from(["a", "ab", "1", ""]), min_size=1, max_size=3),
    )
    equals = st.builds(
        lambda column, sign, value: {
            "type": "comparison",
            "column": {"name": column},
            "operator": sign,
            "parameter": value,
        },
        texts,
        st.sampled_from(["==", "!="]),
        st.sampled_from(["a", "é", ""]),
    )
    nullity = st.builds(
        lambda column, is_null: {
            "type": "nullity",
            "column": {"name": column},
            "is_null": is_null,
        },
        anything,
        flags,
    )
    leaves = st.one_of(compare, among, equals, nullity)
    joined = st.builds(
        lambda word, parts: {"type": word, "conditions": parts},
        st.sampled_from(["and", "or"]),
        st.lists(leaves, min_size=2, max_size=3),
    )
    return st.one_of(leaves, joined)


def limits(values=bounds):
    both = st.tuples(values, values).map(sorted)
    return st.one_of(
        values.map(lambda low: {"min_value": low}),
        values.map(lambda high: {"max_value": high}),
        both.map(lambda pair: {"min_value": pair[0], "max_value": pair[1]}),
    ).flatmap(lambda found: st.fixed_dictionaries({k: st.just(v) for k, v in found.items()}))


@st.composite
def made(draw, kind, conditioned=True, **parts):
    """A rule of *kind*; parts whose name begins with * are dictionaries to be spread."""
    kwargs = {}
    for name, values in parts.items():
        found = draw(values)
        kwargs |= found if name.startswith("spread") else {name: found}
    if conditioned and draw(st.integers(0, 2)) == 0:
        kwargs["row_condition"] = draw(conditions())
    return rule(kind, **kwargs)


strict = st.fixed_dictionaries({}, optional={"strict_min": flags, "strict_max": flags})
often = st.fixed_dictionaries({}, optional={"mostly": mostly})
number_sets = st.lists(st.sampled_from([0, 1, 2, 1.5, 3.0, -1]), min_size=1, max_size=4)
text_sets = st.lists(st.sampled_from(["a", "ab", "1", "", "é"]), min_size=1, max_size=4)
instants = st.sampled_from(["2020-01-01T00:00:00", "2020-01-01T12:00:00", "2020-01-02T00:00:00"])
aware = instants.map(lambda text: f"{text}+00:00")
PAIR_IGNORED = ["both_values_are_missing", "either_value_is_missing", "neither"]
RECORD_IGNORED = ["all_values_are_missing", "any_value_is_missing", "never"]


def pairs_of(names):
    return st.permutations(names).map(lambda found: {"column_A": found[0], "column_B": found[1]})


def pair_sets(values):
    pair = st.tuples(st.sampled_from(values), st.sampled_from(values)).map(list)
    return st.lists(pair, min_size=1, max_size=4)


def ignoring(options):
    return st.fixed_dictionaries({}, optional={"ignore_row_if": st.sampled_from(options)})


def some_of(names, least=2):
    return st.lists(st.sampled_from(names), min_size=least, max_size=3, unique=True)


FAMILIES = {
    "bounds": st.one_of(
        made(
            "column_values_to_be_between",
            column=st.sampled_from([*NUMBERS, "bool"]),
            spread=limits(),
            spread_strict=strict,
            spread_often=often,
        ),
        made("column_values_to_be_between", column=st.just("time"), spread=limits(aware)),
        made("column_values_to_be_between", column=st.just("naive"), spread=limits(instants)),
    ),
    "missing": st.one_of(
        made("column_values_to_not_be_null", column=anything, spread_often=often),
        made("column_values_to_be_null", column=anything, spread_often=often),
    ),
    "sets": st.one_of(
        *(
            made(kind, column=columns, value_set=values, spread_often=often)
            for kind in ("column_values_to_be_in_set", "column_values_to_not_be_in_set")
            for columns, values in (
                (numbers, number_sets),
                (texts, text_sets),
                (st.just("bool"), st.lists(flags, min_size=1, max_size=2)),
                (st.just("kind"), text_sets),
                (texts, number_sets),
            )
        ),
    ),
    "texts": st.one_of(
        *(
            made(kind, column=texts, regex=st.sampled_from(REGEXES), spread_often=often)
            for kind in ("column_values_to_match_regex", "column_values_to_not_match_regex")
        ),
        made(
            "column_values_to_match_regex_list",
            column=texts,
            regex_list=st.lists(st.sampled_from(REGEXES), min_size=1, max_size=3),
            match_on=st.sampled_from(["any", "all"]),
        ),
        made(
            "column_values_to_not_match_regex_list",
            column=texts,
            regex_list=st.lists(st.sampled_from(REGEXES), min_size=1, max_size=3),
        ),
        made(
            "column_value_lengths_to_be_between",
            column=texts,
            spread=limits(st.integers(0, 3)),
            spread_strict=strict,
        ),
        made("column_value_lengths_to_equal", column=texts, value=st.integers(0, 3)),
    ),
    "records": st.one_of(
        made(
            "column_pair_values_a_to_be_greater_than_b",
            spread=st.one_of(pairs_of(NUMBERS), pairs_of(["text", "word"])),
            spread_or=st.fixed_dictionaries({}, optional={"or_equal": flags}),
            spread_ignored=ignoring(PAIR_IGNORED),
            spread_often=often,
        ),
        made(
            "column_pair_values_to_be_equal",
            spread=st.one_of(pairs_of(NUMBERS), pairs_of(["text", "word", "kind"])),
            spread_ignored=ignoring(PAIR_IGNORED),
            spread_often=often,
        ),
        made(
            "column_pair_values_to_be_in_set",
            spread=pairs_of(["finite", "int"]),
            value_pairs_set=pair_sets([None, 0, 1, 2.0]),
            spread_ignored=ignoring(PAIR_IGNORED),
        ),
        made(
            "column_pair_values_to_be_in_set",
            spread=pairs_of(["text", "word"]),
            value_pairs_set=pair_sets([None, "a", "ab", ""]),
            spread_ignored=ignoring(PAIR_IGNORED),
        ),
        made(
            "select_column_values_to_be_unique_within_record",
            column_list=st.one_of(some_of(NUMBERS), st.just(["text", "word"])),
            spread_ignored=ignoring(RECORD_IGNORED),
        ),
    ),
    "keys": st.one_of(
        made("column_values_to_be_unique", column=anything, spread_often=often),
        made(
            "compound_columns_to_be_unique",
            column_list=some_of(["float", "int", "text", "time", "bool"]),
            spread_ignored=ignoring(RECORD_IGNORED),
            spread_often=often,
        ),
    ),
    "aggregates": st.one_of(
        *(
            made(f"column_{name}_to_be_between", column=numbers, spread=limits(), spread_2=strict)
            for name in ("mean", "sum", "min", "max", "stdev", "median")
        ),
        made("column_max_to_be_between", column=st.just("time"), spread=limits(aware)),
        made("column_min_to_be_between", column=st.just("naive"), spread=limits(instants)),
        made("column_mean_to_be_between", column=st.just("bool"), spread=limits()),
    ),
    "distinct": st.one_of(
        made(
            "column_unique_value_count_to_be_between",
            column=anything,
            spread=limits(st.integers(0, 5)),
            spread_strict=strict,
        ),
        made(
            "column_proportion_of_unique_values_to_be_between",
            column=anything,
            spread=limits(st.sampled_from([0, 0.5, 0.75, 1])),
        ),
        *(
            made(f"column_distinct_values_to_{name}_set", column=columns, value_set=values)
            for name in ("be_in", "contain", "equal")
            for columns, values in ((numbers, number_sets), (texts, text_sets))
        ),
        made(
            "column_quantile_values_to_be_between",
            column=st.sampled_from(["finite", "int", "small"]),
            quantile_ranges=st.lists(
                st.sampled_from([0, 0.05, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=3
            ).map(lambda shares: {"quantiles": shares, "value_ranges": [[0, 2]] * len(shares)}),
            spread=st.fixed_dictionaries(
                {},
                optional={
                    "allow_relative_error": st.sampled_from(
                        [False, "linear", "lower", "higher", "midpoint", "nearest"]
                    )
                },
            ),
        ),
    ),
    "shape": st.one_of(
        made("table_row_count_to_be_between", spread=limits(st.integers(0, 9)), spread_2=strict),
        made("table_row_count_to_equal", value=st.integers(0, 9)),
        made(
            "table_column_count_to_be_between",
            conditioned=False,
            spread=limits(st.integers(9, 13)),
        ),
        made("table_column_count_to_equal", conditioned=False, value=st.integers(10, 12)),
        made(
            "table_columns_to_match_set",
            conditioned=False,
            column_set=some_of([*COLUMNS, "absent"], 0),
            exact_match=st.sampled_from([True, False, None]),
        ),
        made(
            "table_columns_to_match_ordered_list",
            conditioned=False,
            column_list=st.sampled_from([list(COLUMNS), sorted(COLUMNS), ["int", "absent"]]),
        ),
        made(
            "column_to_exist",
            conditioned=False,
            column=st.sampled_from(["int", "absent"]),
            column_index=st.sampled_from([None, 0, 3, 20]),
        ),
    ),
    "types": st.one_of(
        made(
            "column_values_to_be_of_type",
            conditioned=False,
            column=anything,
            type_=st.sampled_from(
                [
                    *("int", "int64", "int16", "float64", "float", "float32", "str", "object"),
                    *("bool", "bool_", "Timestamp", "datetime64", "datetime", "StringDtype"),
                ]
            ),
        ),
        made(
            "column_values_to_be_in_type_list",
            conditioned=False,
            column=anything,
            type_list=st.lists(
                st.sampled_from(["int64", "int16", "float64", "str", "bool", "Timestamp"]),
                min_size=1,
                max_size=3,
            ),
        ),
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@SEARCH
@given(data=st.data(), frame=frames(), cells=st.sampled_from([3, 24, 10_000]))
def test_every_rule_is_judged_as_great_expectations_judges_it(family, data, frame, cells):
    rules = data.draw(st.lists(FAMILIES[family], min_size=1, max_size=RULES_PER_EXAMPLE))
    with read_by(cells):
        assert_same(judge(gx, rules, frame), judge(compiled, rules, frame))


@pytest.mark.parametrize("family", FAMILIES)
@settings(SEARCH, max_examples=10)
@given(data=st.data(), frame=frames(), cells=st.sampled_from([3, 10_000]))
def test_a_parquet_file_is_judged_as_what_pandas_reads_from_it(
    family, data, frame, cells, tmp_path_factory
):
    file = tmp_path_factory.getbasetemp() / f"{family}.parquet"
    parquet.write_table(with_gaps(frame), file, row_group_size=2)
    rules = data.draw(st.lists(FAMILIES[family], min_size=1, max_size=RULES_PER_EXAMPLE))
    with read_by(cells):
        assert_same(judge(gx, rules, file), judge(compiled, rules, file))


@contextmanager
def read_by(cells):
    """Read small tables in pieces, as a large one is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "BATCH_CELLS", cells)
        yield


def with_gaps(frame):
    """The table as another program writes it: whole numbers and truth values may be missing."""
    found = pa.Table.from_pandas(frame).replace_schema_metadata(None)
    gaps = frame["finite"].isna().to_numpy()
    for name, dtype in (("int", pa.int64()), ("bool", pa.bool_())):
        values = pa.array(frame[name].to_numpy(), dtype, mask=gaps)
        found = found.set_column(found.schema.get_field_index(name), name, values)
    return found


def assert_same(theirs, ours):
    assert ours.rows == theirs.rows
    for expected, found in zip(theirs.result["results"], ours.result["results"], strict=True):
        asked = found["expectation_config"]
        if asked["type"].endswith("pair_values_to_be_in_set") and raised_text(expected):
            continue  # it raises where no pair is left
        assert raised_text(found) == raised_text(expected), asked
        assert found["success"] == expected["success"], (asked, expected, found)
        assert is_alike(comparable(found), comparable(expected)), (asked, expected, found)


def comparable(outcome):
    """What both must agree on; a set is shown in no order, and nulls are counted in none."""
    result = {k: v for k, v in outcome["result"].items() if k != "partial_unexpected_counts"}
    if "partial_missing_list" in result:
        result["partial_missing_list"] = sorted(map(str, result["partial_missing_list"]))
    return result


def is_alike(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_alike(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_alike, one, other))
    if one is None:
        return other in (None, "NaT")  # what Great Expectations makes of a missing time
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9)
    return one == other


# Regular expressions, where three engines have to agree.

PIECES = [
    *("a", "B", "1", "é", " ", ".", "^", "$", "|", "(", "(?:", ")", "*", "+", "?", "{2}", "{1,2}"),
    *(r"\d", r"\.", r"\w", r"\s", r"\b", r"\\", "[ab]", "[^ab]", "[a-z]", r"[\d.]", "[]a]", "*?"),
    *("{,2}", "[a&&b]", "(?i)", "(?=a)", "[[:alpha:]]", r"\Z", "-", "[a-]", "[^]", "{", "}"),
]


@settings(max_examples=400, derandomize=True)
@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=6),
    texts=st.lists(st.text("aBb1é .\n-]&", max_size=5), min_size=1, max_size=6),
)
def test_a_pattern_that_is_shared_finds_what_pandas_finds(pieces, texts):
    regex = "".join(pieces)
    shared = shared_pattern(regex)
    assume(shared is not None)
    found = pl.Series(texts, dtype=pl.String).str.contains(shared).to_list()
    assert found == pd.Series(texts, dtype="str").str.contains(regex).tolist()


@pytest.mark.parametrize(
    "regex",
    [
        "^[A-Z0-9]{2}$",
        "^N[0-9A-Z]{2,5}$",
        r"^\d{4}-(?:0[1-9]|1[0-2])$",
        r"^[^@ ]+@[^@ ]+\.[a-z]{2,}$",
    ],
)
def test_usual_patterns_are_compiled(regex):
    assert shared_pattern(regex) is not None


# Which way a rule goes.


def table_of(**columns):
    return pd.DataFrame(columns)


WHOLE_TABLE = table_of(
    i=[1, 2, 3],
    f=[1.0, None, 3.0],
    s=["a", "b", None],
    t=pd.to_datetime(["2020-01-01", None, "2020-01-03"], utc=True),
    k=["x", "y", "x"],
)
COMPILED = [
    rule("column_values_to_be_between", column="f", min_value=0, strict_max=True, max_value=9),
    rule("column_values_to_be_in_set", column="s", value_set=["a", "b"], mostly=0.9),
    rule("column_values_to_match_regex", column="s", regex=r"^[a-z]$"),
    rule("column_values_to_be_of_type", column="t", type_="Timestamp"),
    rule("column_values_to_not_be_null", column="t", mostly=0.1),
    rule("compound_columns_to_be_unique", column_list=["i", "k"]),
    rule("column_distinct_values_to_equal_set", column="k", value_set=["x", "y"]),
    rule("column_median_to_be_between", column="f", min_value=1),
    rule("table_row_count_to_equal", value=3),
    rule(
        "column_values_to_be_between",
        column="i",
        max_value=2,
        row_condition={
            "type": "comparison",
            "column": {"name": "k"},
            "operator": "==",
            "parameter": "y",
        },
    ),
]
LEFT = [
    rule("column_values_to_be_between", column="f", min_value="1"),
    rule("column_values_to_be_in_set", column="i", value_set=["1", 2]),
    rule("column_values_to_match_regex", column="s", regex="(?i)A"),
    rule("column_values_to_be_increasing", column="i"),
    rule("column_value_z_scores_to_be_less_than", column="f", threshold=3, double_sided=True),
    rule("column_values_to_be_between", column="i", min_value=0, row_condition='k == "x"'),
]


def test_usual_rules_are_judged_without_great_expectations():
    assert judge(compiled, COMPILED, WHOLE_TABLE).result["meta"] == {
        "engine": "compiled",
        "handed_to_great_expectations": 0,
    }


def test_what_is_not_compiled_is_handed_over_and_comes_back_in_its_place():
    mixed = [rules for pair in zip(LEFT, COMPILED, strict=False) for rules in pair]
    for entry in mixed:
        if isinstance(entry["kwargs"].get("row_condition"), str):
            entry["kwargs"]["condition_parser"] = "pandas"
    ours = judge(compiled, mixed, WHOLE_TABLE)
    assert ours.result["meta"]["handed_to_great_expectations"] == len(LEFT)
    assert_same(judge(gx, mixed, WHOLE_TABLE), ours)
    assert [o["expectation_config"]["type"] for o in ours.result["results"]] == [
        entry["type"] for entry in mixed
    ]


def test_two_rules_about_the_quantiles_of_a_column_get_each_their_own():
    rules = [
        rule(
            "column_quantile_values_to_be_between",
            column="i",
            quantile_ranges={"quantiles": shares, "value_ranges": [[0, 9]] * len(shares)},
        )
        for shares in ([0.5], [0, 1])
    ]
    for engine in (gx, compiled):
        results = judge(engine, rules, WHOLE_TABLE).result["results"]
        assert [o["result"]["observed_value"]["values"] for o in results] == [[2], [1, 3]]


def test_columns_of_odd_names_and_types_are_judged_like_others():
    frame = pd.DataFrame({"^i$": [1, 5], "*": [2.0, None], "mixed": [1, "x"], "o": ["a", None]})
    rules = [
        rule("column_values_to_be_between", column="^i$", max_value=4),
        rule("column_values_to_not_be_null", column="*"),
        rule("column_values_to_be_in_set", column="mixed", value_set=["x"]),
        rule("column_values_to_be_unique", column="o"),
        rule("column_values_to_be_of_type", column="o", type_="str"),
    ]
    objects = frame.astype({"o": "object"})
    assert_same(judge(gx, rules, objects), judge(compiled, rules, objects))


def test_a_table_with_a_column_twice_is_left_to_great_expectations():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    rules = [rule("table_row_count_to_equal", value=1)]
    assert judge(compiled, rules, frame).result["success"]


def test_keys_are_compared_by_value_and_not_by_hash_alone(monkeypatch):
    monkeypatch.setattr(keys, "hash_of", lambda columns: (columns[0].values % 2).cast(pl.UInt64))
    monkeypatch.setattr(keys, "COMPARED_ROWS", 4)  # more than one reading of the rows
    monkeypatch.setattr(table, "BATCH_CELLS", 4)
    frame = table_of(a=[1, 2, 1, 3, 2, 1, 4, 5], b=["x"] * 8)
    asked = rule("compound_columns_to_be_unique", column_list=["a", "b"])
    (found,) = judge(compiled, [asked], frame).result["results"]
    assert found["result"]["unexpected_count"] == 5
    assert found["result"]["partial_unexpected_index_list"] == [0, 1, 2, 4, 5]


# Files that are not what they should be.


def test_an_example_is_a_whole_row_also_of_columns_that_no_rule_names(tmp_path):
    file = tmp_path / "t.parquet"
    whole = table_of(a=[1, 9], when=pd.to_datetime(["2020-01-01", "2020-01-02"]), z=["p", "q"])
    whole.to_parquet(file)
    rules = [
        rule("column_values_to_be_between", column="a", max_value=5),
        rule("column_distinct_values_to_be_in_set", column="z", value_set=["p"]),
        rule("column_values_to_not_be_null", column="a"),
    ]
    row = {"a": 9, "when": "2020-01-02T00:00:00.000", "z": "q"}
    assert judge(compiled, rules, file).examples == (row, row, None)


def test_the_index_of_a_frame_in_a_file_is_no_column(tmp_path):
    file = tmp_path / "t.parquet"
    table_of(a=[1, 2]).set_index(pd.Index([5, 6], name="key")).to_parquet(file)
    rules = [rule("table_columns_to_match_set", column_set=["a"])]
    assert judge(compiled, rules, file).result["success"]
    assert judge(compiled, rules, file).columns == ("a",)


def test_a_column_that_the_file_lacks_is_named_with_suite_and_nearest(tmp_path):
    file = tmp_path / "t.parquet"
    table_of(distance=[1]).to_parquet(file)
    with pytest.raises(SuiteError, match=r"'suite'.*'distnace', which the table lacks") as error:
        judge(compiled, [rule("column_values_to_not_be_null", column="distnace")], file)
    assert error.value.fix == "write 'distance' instead of 'distnace'"


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.zip"])
def test_an_empty_file_is_an_error_that_names_it(tmp_path, name):
    file = tmp_path / name
    file.touch()
    with pytest.raises(SourceError, match=f"{name} cannot be read"):
        judge(compiled, COMPILED, file)


def test_a_file_that_is_damaged_inside_is_an_error_that_names_it(tmp_path):
    file = tmp_path / "t.parquet"
    pd.DataFrame({"f": np.arange(50_000.0)}).to_parquet(file)
    whole = bytearray(file.read_bytes())
    whole[4:400] = bytes(396)  # where the pages begin
    file.write_bytes(whole)
    with pytest.raises(SourceError, match="cannot be read"):
        judge(compiled, [rule("column_mean_to_be_between", column="f", min_value=0)], file)


def test_an_unknown_expectation_is_refused_with_the_nearest():
    with pytest.raises(SuiteError, match="unknown expectation type") as error:
        judge(compiled, [rule("column_values_to_be_betwen", column="i")], WHOLE_TABLE)
    assert "expect_column_values_to_be_between" in error.value.fix
