"""`mlflow-ext data fingerprint`."""

import json

import pandas as pd
import pytest

from mlflow_ext.cli import run


@pytest.fixture
def files(tmp_path):
    """A table as Parquet, and the same rows the other way round."""
    frame = pd.DataFrame({"carrier": ["UA", "DL"], "late": [0, 1]})
    frame.to_parquet(tmp_path / "table.parquet")
    frame[::-1].to_parquet(tmp_path / "turned.parquet", index=False)
    return tmp_path / "table.parquet", tmp_path / "turned.parquet"


def digest(capsys, *words):
    assert run(["data", "fingerprint", *map(str, words), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)["digest"]


def test_the_order_of_rows_counts_unless_told_otherwise(files, capsys):
    table, turned = files
    assert digest(capsys, table) != digest(capsys, turned)
    assert digest(capsys, table, "--unordered") == digest(capsys, turned, "--unordered")


def test_the_table_form_lists_the_columns(files, capsys):
    assert run(["data", "fingerprint", str(files[0])]) == 0
    out = capsys.readouterr().out
    assert "rows     2" in out and "carrier" in out


def test_a_missing_file_is_no_verdict(tmp_path, capsys):
    assert run(["data", "fingerprint", str(tmp_path / "none.parquet")]) == 2
    assert "none.parquet" in capsys.readouterr().err
