"""What changes a fingerprint, what does not, and that the algorithm itself stays what it is."""

import datetime as dt
import decimal
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from mlflow_ext.data import fingerprint as module
from mlflow_ext.data.canonical import logical_type
from mlflow_ext.data.fingerprint import (
    fingerprint_batches,
    fingerprint_file,
    fingerprint_table,
)
from mlflow_ext.errors import SourceError, TableError
from mlflow_ext.records import TableFingerprint, from_json, to_json

ROWS = 60_000
GOLDEN = "bf0cbb954935513ed2434259764e9acf009c7ddd3cff5a59a58b839305d10122"
GOLDEN_UNORDERED = "3ec07a1ff9bada147bfe162d4f5b731cce183cc0c2ffa3f1521d5e041dce0981"


def digest(table, *, ordered=True):
    return fingerprint_table(table, ordered=ordered).digest


def digest_of(values, dtype=None, *, ordered=True):
    return digest(pa.table({"a": pa.array(values, dtype)}), ordered=ordered)


def column_digests(table):
    return {column.name: column.digest for column in fingerprint_table(table).columns}


@pytest.fixture(scope="module")
def frame():
    """60,000 rows: more than MLflow's digest reads."""
    rng = np.random.default_rng(0)
    delay = rng.normal(size=ROWS)
    delay[::7] = np.nan
    return pd.DataFrame(
        {
            "flight": rng.integers(0, 9_000, ROWS),
            "delay": delay,
            "late": rng.random(ROWS) < 0.2,
            "carrier": rng.choice(["UA", "AA", "B6", None], ROWS),
            "hour": pd.date_range("2013-01-01", periods=ROWS, freq="min", tz="UTC"),
            "day": [dt.date(2013, 1, 1) + dt.timedelta(days=i // 1440) for i in range(ROWS)],
            "origin": pd.Categorical(rng.choice(["EWR", "JFK"], ROWS)),
        }
    )


@pytest.fixture(scope="module")
def every_type():
    """One column of each kind that Parquet can hold, each with a null."""
    moment = dt.datetime(2013, 1, 1, 5, 17, 0, 123456)
    money = decimal.Decimal("12.34")
    return pa.table(
        {
            "int": pa.array([1, None, 3], pa.int16()),
            "unsigned": pa.array([1, None, 2**64 - 1], pa.uint64()),
            "half": pa.array([1.5, None, 2.0], pa.float16()),
            "float": pa.array([1.5, None, float("nan")], pa.float32()),
            "double": pa.array([-0.0, None, float("inf")]),
            "bool": pa.array([True, None, False]),
            "text": pa.array(["a", None, "é🛫"]),
            "category": pa.array(["a", None, "b"]).dictionary_encode(),
            "time": pa.array([moment, None, moment], pa.timestamp("us", "Europe/Berlin")),
            "naive": pa.array([moment, None, moment], pa.timestamp("ns")),
            "date": pa.array([moment.date(), None, moment.date()]),
            "clock": pa.array([moment.time(), None, moment.time()], pa.time64("us")),
            "duration": pa.array([1, None, 3], pa.duration("ms")),
            "money": pa.array([money, None, money], pa.decimal128(10, 2)),
            "wide": pa.array([money, None, money], pa.decimal256(50, 2)),
            "bytes": pa.array([b"\0", None, b""]),
            "uuid": pa.array([b"0" * 16, None, b"1" * 16], pa.uuid()),
            "fixed": pa.array([b"abc", None, b"def"], pa.binary(3)),
            "list": pa.array([[1, None], None, []], pa.list_(pa.int64())),
            "struct": pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}]),
            "deep": pa.array([[{"x": ["a"]}, None], None, [{"x": None}]]),
            "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
            "nothing": pa.nulls(3),
        }
    )


# --- what counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("flight", -1),
        ("delay", 1e-300),
        ("delay", np.nan),
        ("carrier", "ua"),
        ("carrier", None),
        ("hour", pd.Timestamp("2014-01-01", tz="UTC")),
        ("day", dt.date(2014, 1, 1)),
    ],
)
def test_one_cell_in_the_last_row_changes_the_fingerprint(frame, column, value, ordered):
    edited = frame.copy()
    edited.loc[ROWS - 1, ["delay", "carrier"]] = [0.5, "UA"]
    original = digest(edited, ordered=ordered)
    edited.loc[ROWS - 1, column] = value
    assert digest(edited, ordered=ordered) != original


@pytest.mark.parametrize("ordered", [True, False])
def test_flipping_one_bool_changes_the_fingerprint(frame, ordered):
    edited = frame.copy()
    edited.loc[50_000, "late"] = not edited.loc[50_000, "late"]
    assert digest(edited, ordered=ordered) != digest(frame, ordered=ordered)


def test_a_changed_column_is_the_only_one_whose_digest_changes(frame):
    edited = frame.assign(hour=frame["hour"] + pd.Timedelta(days=365))
    before, after = column_digests(frame), column_digests(edited)
    assert [name for name in before if before[name] != after[name]] == ["hour"]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_rename_changes_the_table_but_not_the_digest_of_the_column(frame, ordered):
    renamed = frame.rename(columns={"late": "delayed"})
    assert digest(renamed, ordered=ordered) != digest(frame, ordered=ordered)
    assert column_digests(renamed)["delayed"] == column_digests(frame)["late"]


@pytest.mark.parametrize("ordered", [True, False])
def test_the_order_of_columns_is_part_of_the_identity(frame, ordered):
    assert digest(frame[frame.columns[::-1]], ordered=ordered) != digest(frame, ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.int32(), pa.int64()),
        (pa.int64(), pa.uint64()),
        (pa.float32(), pa.float64()),
        (pa.timestamp("ms"), pa.timestamp("us")),
        (pa.timestamp("us"), pa.timestamp("us", "UTC")),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "America/New_York")),
        (pa.string(), pa.binary()),
        (pa.int8(), pa.bool_()),
        (pa.decimal128(10, 2), pa.decimal128(10, 3)),
        (pa.null(), pa.int8()),
        (pa.list_(pa.int8()), pa.list_(pa.int16())),
    ],
)
def test_the_type_is_part_of_the_identity_even_without_values(one, other, ordered):
    assert digest(pa.table({"a": pa.nulls(2, one)}), ordered=ordered) != digest(
        pa.table({"a": pa.nulls(2, other)}), ordered=ordered
    )


def test_equal_numbers_of_different_width_differ(frame):
    assert digest(frame.astype({"flight": "int32"})) != digest(frame)


def test_the_order_of_rows_counts_only_when_asked(frame):
    reordered = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    assert digest(reordered) != digest(frame)
    assert digest(reordered, ordered=False) == digest(frame, ordered=False)


def test_permuting_one_column_alone_changes_the_unordered_fingerprint(frame):
    shifted = frame.assign(carrier=np.roll(frame["carrier"], 1))
    assert digest(shifted, ordered=False) != digest(frame, ordered=False)


@pytest.mark.parametrize("ordered", [True, False])
def test_dropping_the_last_row_changes_the_fingerprint(frame, ordered):
    assert digest(frame[:-1], ordered=ordered) != digest(frame, ordered=ordered)


def test_duplicates_count_in_an_unordered_fingerprint():
    tables = [[1, 1, 2], [1, 2, 2], [1, 2], [1, 1, 1, 1, 2]]
    assert len({digest_of(values, ordered=False) for values in tables}) == len(tables)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["", "a"], ["a", ""]),
        (["", None], [None, ""]),
        ([None, 0], [0, None]),
        ([None], [0]),
        ([None], [""]),
        ([None, None], [None]),
        (["a\0b"], ["a", "b"]),
        ([[1], [2, 3]], [[1, 2], [3]]),
        ([[], [1]], [[1], []]),
        ([[], None], [None, None]),
        ([[None]], [[]]),
        ([["a", "bc"]], [["ab", "c"]]),
        ([{"x": None}], [None]),
        ([{"x": 1, "y": 2}], [{"x": 2, "y": 1}]),
        ([0.0], [-0.0]),
        ([float("inf")], [float("-inf")]),
    ],
)
def test_different_values_differ_however_alike_their_bytes_are(one, other, ordered):
    if sorted(map(repr, one)) == sorted(map(repr, other)) and not ordered:
        assert digest_of(one, ordered=False) == digest_of(other, ordered=False)
    else:
        assert digest_of(one, ordered=ordered) != digest_of(other, ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False])
def test_bytes_moved_between_neighbouring_columns_change_the_fingerprint(ordered):
    one = pa.table({"a": ["ab", None], "b": ["c", "x"]})
    other = pa.table({"a": ["a", "x"], "b": ["bc", None]})
    assert digest(one, ordered=ordered) != digest(other, ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False])
def test_null_and_nan_are_different_values(ordered):
    assert digest_of([None, 1.0], ordered=ordered) != digest_of([np.nan, 1.0], ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("width", [2, 4, 8])
def test_all_nan_are_one_nan(width, ordered):
    nan = np.array([np.nan, 1], f"f{width}")
    other = nan.copy()
    other.view(f"u{width}")[0] |= (1 << (8 * width - 1)) | 1
    assert other.tobytes() != nan.tobytes()
    assert digest_of(nan, ordered=ordered) == digest_of(other, ordered=ordered)


def test_struct_field_names_cannot_be_mistaken_for_types():
    one = pa.struct([pa.field("a: int8, b", pa.int8()), pa.field("c", pa.int8())])
    other = pa.struct([pa.field("a", pa.int8()), pa.field("b: int8, c", pa.int8())])
    assert str(one) == str(other)
    assert logical_type(one) != logical_type(other)


# --- what does not count -------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_cutting_into_chunks_does_not_change_the_fingerprint(every_type, size, ordered):
    batches = every_type.to_batches(max_chunksize=size)
    empty = every_type.slice(0, 0).combine_chunks().to_batches()
    cut = fingerprint_batches(every_type.schema, [*empty, *batches], ordered=ordered)
    assert cut == fingerprint_table(every_type, ordered=ordered)


def test_batches_that_span_several_groups_have_the_fingerprint_of_the_table(frame, monkeypatch):
    table = pa.Table.from_pandas(frame)
    monkeypatch.setattr(module, "GROUP_BYTES", 100_000)
    cut = fingerprint_batches(table.schema, table.to_batches(max_chunksize=999))
    assert cut == fingerprint_table(table)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("row_group_size", [1, 2, 10])
def test_a_parquet_file_has_the_fingerprint_of_its_table(
    every_type, tmp_path, row_group_size, ordered
):
    path = tmp_path / "t.parquet"
    parquet.write_table(every_type, path, row_group_size=row_group_size)
    expected = fingerprint_table(every_type, ordered=ordered)
    assert fingerprint_file(path, ordered=ordered) == expected


@pytest.mark.parametrize("options", [{}, {"compression": "zstd", "row_group_size": 777}])
def test_a_pandas_frame_and_its_parquet_file_have_the_same_fingerprint(frame, tmp_path, options):
    path = tmp_path / "t.parquet"
    frame.to_parquet(path, **options)
    assert fingerprint_file(path) == fingerprint_table(frame)
    assert fingerprint_table(pd.read_parquet(path)) == fingerprint_table(frame)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_pandas_timestamps_of_each_unit_survive_parquet(tmp_path, unit, zone):
    hours = pd.date_range("2013-01-01", periods=3, freq="h", tz=zone).as_unit(unit)
    frame = pd.DataFrame({"hour": hours})
    frame.to_parquet(tmp_path / "t.parquet")
    assert fingerprint_file(tmp_path / "t.parquet") == fingerprint_table(frame)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(["a", None], dtype=object),
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", None], dtype="category"),
        pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())),
        pd.Series(["a", None], dtype=pd.CategoricalDtype(["z", "a"], ordered=True)),
    ],
)
def test_every_way_in_which_pandas_holds_texts_is_the_same(series):
    expected = digest(pd.DataFrame({"a": pd.Series(["a", None], dtype="str")}))
    assert digest(pd.DataFrame({"a": series})) == expected


def test_a_missing_value_in_pandas_is_a_null():
    floats = pd.DataFrame({"a": [1.0, np.nan]})
    assert digest(floats) == digest_of([1.0, None])
    assert digest(pd.DataFrame({"a": pd.array([1, None], "Int64")})) == digest_of([1, None])


def test_a_range_index_is_ignored_and_any_other_index_is_a_column(frame):
    shifted = frame.set_index(pd.RangeIndex(5, 5 + ROWS))
    assert digest(shifted) == digest(frame)
    names = [c.name for c in fingerprint_table(frame.iloc[[3, 1, 2]]).columns]
    assert names == [*frame.columns, "__index_level_0__"]


def test_schema_metadata_and_nullability_do_not_count(every_type):
    described = every_type.replace_schema_metadata({"author": "someone"})
    strict = pa.table({"a": [1]}, pa.schema([pa.field("a", pa.int64(), nullable=False)]))
    assert digest(described) == digest(every_type)
    assert digest(strict) == digest_of([1])


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    ("values", "one", "other"),
    [
        (["a", None, "bc"], pa.string(), pa.large_string()),
        (["a", None, "bc"], pa.string(), pa.string_view()),
        (["a", None, "bc"], pa.string(), pa.dictionary(pa.int8(), pa.large_string())),
        (["a", "a", None], pa.string(), pa.run_end_encoded(pa.int32(), pa.string())),
        ([b"a", None, b""], pa.binary(), pa.large_binary()),
        ([b"a", None, b""], pa.binary(), pa.binary_view()),
        ([1, None, 1], pa.int64(), pa.dictionary(pa.int8(), pa.int64())),
        ([[1], None, [2, 3]], pa.list_(pa.int8()), pa.large_list(pa.int8())),
        ([[1], None, [2, 3]], pa.list_(pa.int8()), pa.list_view(pa.int8())),
        ([["a"], None, []], pa.list_(pa.string()), pa.large_list(pa.string_view())),
        ([decimal.Decimal("1.10"), None], pa.decimal128(9, 2), pa.decimal256(9, 2)),
        ([decimal.Decimal("1.10"), None], pa.decimal128(9, 2), pa.decimal32(9, 2)),
        ([dt.date(2013, 1, 1), None], pa.date32(), pa.date64()),
        ([dt.time(5, 17), None], pa.time32("ms"), pa.time32("s")),
    ],
)
def test_the_same_values_stored_otherwise_are_the_same(values, one, other, ordered):
    plain = pa.array(values, one)
    stored = plain.dictionary_encode() if pa.types.is_dictionary(other) else pa.array(values, other)
    assert logical_type(one) == logical_type(stored.type)
    assert digest_of(stored, ordered=ordered) == digest_of(plain, ordered=ordered)
    assert digest_of(stored[1:], ordered=ordered) == digest_of(plain[1:], ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False])
def test_what_lies_under_a_null_does_not_count(ordered):
    valid = pa.py_buffer(bytes([0b101]))
    numbers, garbage = np.array([1, 0, 3]), np.array([1, 77, 3])
    one, other = (
        pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(values)])
        for values in (numbers, garbage)
    )
    assert digest_of(one, ordered=ordered) == digest_of(other, ordered=ordered)
    offsets = pa.py_buffer(np.array([0, 1, 2, 3], "i4"))
    text = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(b"aXb")])
    assert digest_of(text, ordered=ordered) == digest_of(["a", None, "b"], ordered=ordered)
    lists = pa.ListArray.from_arrays(
        pa.array([0, 1, 2, 3]), [7, 8, 9], mask=pa.array([False, True, False])
    )
    assert digest_of(lists, ordered=ordered) == digest_of([[7], None, [9]], ordered=ordered)
    structs = pa.StructArray.from_arrays([one], ["x"], mask=pa.array([False, False, True]))
    expected = [{"x": 1}, {"x": None}, None]
    assert digest_of(structs, ordered=ordered) == digest_of(expected, ordered=ordered)


def test_slices_have_the_fingerprint_of_a_copy(every_type):
    part = every_type.slice(1, 2)
    copy = pa.Table.from_batches([pa.concat_batches(part.to_batches())])
    rebuilt = copy.take([0, 1])
    assert digest(part) == digest(rebuilt)


def test_an_empty_table_has_a_fingerprint_that_knows_its_columns():
    schema = pa.schema([("a", pa.int64()), ("b", pa.list_(pa.string()))])
    none = fingerprint_batches(schema, [])
    assert none == fingerprint_table(schema.empty_table())
    assert none.rows == 0
    assert none.digest != fingerprint_batches(pa.schema([("a", pa.int64())]), []).digest


# --- the algebra ---------------------------------------------------------------------------------

CELLS = st.tuples(
    st.none() | st.text(max_size=3),
    st.none() | st.integers(-2, 2),
    st.none() | st.lists(st.none() | st.sampled_from(["", "a", "ab"]), max_size=2),
)
SCHEMA = pa.schema([("t", pa.string()), ("n", pa.int8()), ("l", pa.list_(pa.string()))])


def table_of(rows):
    columns = zip(*rows, strict=True) if rows else [[]] * len(SCHEMA)
    return pa.table(
        [pa.array(list(c), f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA
    )


@settings(max_examples=60)
@given(st.lists(CELLS, max_size=8), st.integers(0, 8), st.booleans())
def test_a_table_cut_anywhere_has_one_fingerprint(rows, cut, ordered):
    parts = [table_of(rows[:cut]), table_of(rows[cut:])]
    batches = [batch for part in parts for batch in part.to_batches()]
    whole = fingerprint_table(table_of(rows), ordered=ordered)
    assert fingerprint_batches(SCHEMA, batches, ordered=ordered) == whole


@settings(max_examples=60)
@given(
    st.lists(CELLS, max_size=6).flatmap(
        lambda rows: st.tuples(st.just(rows), st.permutations(rows))
    )
)
def test_an_unordered_fingerprint_ignores_permutations_and_an_ordered_one_sees_them(pair):
    rows, shuffled = pair
    one, other = table_of(rows), table_of(shuffled)
    assert digest(one, ordered=False) == digest(other, ordered=False)
    assert (digest(one) == digest(other)) == (rows == shuffled)


@settings(max_examples=100)
@given(st.lists(CELLS, max_size=4), st.lists(CELLS, max_size=4))
def test_fingerprints_are_equal_exactly_when_the_rows_are(rows, others):
    one, other = table_of(rows), table_of(others)
    assert (digest(one) == digest(other)) == (rows == others)
    same_rows = sorted(map(repr, rows)) == sorted(map(repr, others))
    assert (digest(one, ordered=False) == digest(other, ordered=False)) == same_rows


# --- stability -----------------------------------------------------------------------------------


def test_the_algorithm_has_not_changed(every_type):
    assert digest(every_type) == GOLDEN
    assert digest(every_type, ordered=False) == GOLDEN_UNORDERED


def test_another_process_with_another_hash_seed_gives_the_same_fingerprint(every_type, tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(every_type, path)
    program = (
        "import sys, pathlib; from mlflow_ext.data.fingerprint import fingerprint_file;"
        "path = pathlib.Path(sys.argv[1]);"
        "print(*(fingerprint_file(path, ordered=o).digest for o in (True, False)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [digest(every_type), digest(every_type, ordered=False)]


def test_a_fingerprint_survives_the_round_trip_through_json(every_type):
    fingerprint = fingerprint_table(every_type)
    assert from_json(TableFingerprint, to_json(fingerprint)) == fingerprint


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (pd.DataFrame({"a": [1, "x"]}), "column a"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Duplicate column names"),
        (pd.DataFrame({"a": pd.period_range("2013", periods=2, freq="M")}), "period"),
        (pd.DataFrame({"a": [1 + 2j]}), "column a"),
    ],
)
def test_a_frame_that_no_file_could_hold_is_refused_with_its_cause(frame, cause):
    with pytest.raises(TableError, match=cause):
        fingerprint_table(frame)


def test_batches_that_do_not_fit_the_schema_are_refused():
    batch = pa.record_batch({"a": pa.array([1], pa.int32())})
    with pytest.raises(TableError, match="int32"):
        fingerprint_batches(pa.schema([("a", pa.int64())]), [batch])


def test_csv_and_zipped_csv_have_the_fingerprint_of_the_table_arrow_reads(tmp_path):
    table = pa.table({"a": [1, 2], "b": ["x\ny", "NA"]})
    csv.write_csv(table, tmp_path / "t.csv")
    import zipfile

    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.write(tmp_path / "t.csv", "t.csv")
    assert fingerprint_file(tmp_path / "t.csv") == fingerprint_table(table)
    assert fingerprint_file(tmp_path / "t.csv.zip") == fingerprint_table(table)


def test_a_truncated_parquet_file_is_a_source_error(frame, tmp_path):
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SourceError, match=r"t\.parquet cannot be read"):
        fingerprint_file(path)


@pytest.mark.parametrize(
    ("file", "content", "cause"),
    [
        ("t.xlsx", b"", "unknown kind"),
        ("t.parquet", b"PAR1 but no more", "cannot be read"),
        ("t.csv", b"", "cannot be read"),
        ("t.csv", b"a,b\n1,2\n3", "Expected 2 columns"),
        ("t.csv.zip", b"PK\x03\x04", "cannot be read"),
        ("missing.parquet", None, "cannot be read"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_an_unreadable_file_is_a_source_error(tmp_path, file, content, cause):
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(SourceError, match=cause):
        fingerprint_file(tmp_path / file)
