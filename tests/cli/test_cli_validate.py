"""`mlflow-ext validate`: every kind of table, by every engine, through the command."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import create_engine

from mlflow_ext.cli import run
from mlflow_ext.cli.validate import command
from mlflow_ext.gates.suites.engines.choice import ENGINES


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A suite, a table as files and in a database; its third row is broken."""
    monkeypatch.chdir(tmp_path)
    rule = "expect_column_values_to_be_between"
    entry = {"type": rule, "kwargs": {"column": "n", "max_value": 2}, "notes": "two at most"}
    document = {"name": "trips", "expectations": [entry]}
    Path("expectations").mkdir()
    Path("expectations/trips.json").write_text(json.dumps(document), encoding="utf-8")
    frame = pd.DataFrame({"n": [1, 2, 3], "origin": ["EWR", "JFK", "LGA"]})
    frame.to_parquet("trips.parquet")
    frame.head(2).to_csv("good.csv", index=False)
    engine = create_engine("sqlite:///trips.db")
    frame.to_sql("trips", engine, index=False)
    engine.dispose()
    return tmp_path


def answer(capsys, *words):
    code = run(["validate", "trips", *words, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("engine", ["auto", "gx", "compiled"])
def test_a_file_is_judged_by_the_engine_that_is_asked_for(folder, capsys, engine):
    code, document = answer(capsys, "trips.parquet", "--engine", engine)
    assert (code, document["verdict"]) == (1, "failed")
    assert document["failed"][0]["example"]["origin"] == "LGA"
    assert len(document["fingerprints"]["trips"]) == 64
    assert answer(capsys, "good.csv", "--engine", engine)[0] == 0


@pytest.mark.parametrize("engine", ["auto", "sql"])
def test_a_table_of_a_database_is_judged_in_place(folder, capsys, engine):
    code, document = answer(capsys, "sqlite:///trips.db#trips", "--engine", engine)
    assert (code, document["table"], document["verdict"]) == (1, "trips", "failed")
    assert document["failed"][0]["example"] == {"n": 3, "origin": "LGA"}
    assert document["fingerprints"] == {}


def test_a_table_of_a_server_is_judged_in_place(folder, capsys, postgres):
    engine = create_engine(postgres)
    pd.DataFrame({"n": [1, 2]}).to_sql("trips", engine, index=False)
    engine.dispose()
    assert answer(capsys, f"{postgres}#public.trips")[0] == 0


def test_the_engine_can_be_set_by_the_environment(folder, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_VALIDATE_ENGINE", "sql")
    assert run(["validate", "trips", "trips.parquet"]) == 2
    assert "'trips' is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sqlite:///trips.db#trip"], "write 'trips' instead of 'trip'"),
        (["sqlite:///trips.db"], "names no table"),
        (["sqlite:///other.db#trips"], "there is no database other.db"),
        (["postgresql://me:s3cr3t@127.0.0.1:1/db#trips"], "a reachable, writable database"),
        (["sqlite:///trips.db#trips", "--engine", "gx"], "use --engine sql"),
        (["sqlite:///trips.db#trips", "--quarantine", "q"], "leave --quarantine out"),
        (["absent.parquet"], "absent.parquet"),
    ],
)
def test_without_a_verdict_the_command_ends_with_2_and_says_why(folder, capsys, words, said):
    assert run(["validate", "trips", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "s3cr3t" not in captured.err
    assert "Traceback" not in captured.err


def test_broken_rows_are_set_aside_and_the_page_is_written(folder, capsys):
    words = ("trips.parquet", "--quarantine", "aside", "--docs", "page.html")
    code, document = answer(capsys, *words)
    assert (code, document["quarantine"]["rows"], document["docs"]) == (1, 1, "page.html")
    assert pd.read_parquet(document["quarantine"]["file"])["origin"].tolist() == ["LGA"]
    assert "two at most" in Path("page.html").read_text(encoding="utf-8")


def test_nothing_is_set_aside_where_nothing_is_broken(folder, capsys):
    code, document = answer(capsys, "good.csv", "--quarantine", "aside")
    assert (code, document["quarantine"]) == (0, None)
    assert not Path("aside").exists()


def test_the_command_offers_every_engine():
    (engine,) = [parameter for parameter in command.params if parameter.name == "engine"]
    assert tuple(engine.type.choices) == ENGINES


@pytest.mark.slow
def test_spark_judges_files_and_folders_in_a_session_of_its_own(folder):
    Path("parts").mkdir()
    Path("trips.parquet").rename("parts/0.parquet")
    # A file, not -c: importing GX imports parts of PySpark that end a program without a file.
    Path("run.py").write_text("from mlflow_ext.cli import main; main()", encoding="utf-8")
    words = ["run.py", "validate", "trips", "parts", "--engine", "spark", "--format", "json"]
    process = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    document = json.loads(process.stdout)
    assert document["failed"][0]["example"] == {"n": 3, "origin": "LGA"}
