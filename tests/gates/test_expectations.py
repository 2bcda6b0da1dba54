"""The gate ``expectations`` on small tables: verdicts, examples, errors, silence, Data Docs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from mlflow_ext.cli import run
from mlflow_ext.data.fingerprint import fingerprint_file
from mlflow_ext.errors import MlflowExtError, SourceError, SuiteError, TableError
from mlflow_ext.gates.expectations import log_expectations, run_suite
from mlflow_ext.records import Severity, Verdict

BETWEEN = "expect_column_values_to_be_between"


def rule(kind, *, meta=None, notes="because", **kwargs):
    return {"type": kind, "kwargs": kwargs, "meta": meta or {}, "notes": notes}


@pytest.fixture
def trips():
    return pd.DataFrame(
        {
            "distance": [100.0, 200.0, None, 9000.0],
            "origin": ["EWR", "JFK", "LGA", "EWR"],
            "start": pd.date_range("2013-01-01", periods=4, tz="UTC"),
        },
        index=[7, 7, 7, 7],  # labels are no positions
    )


@pytest.fixture(params=["compiled", "gx"])
def judge(tmp_path, request):
    def judge(frame, *rules):
        suite = write(tmp_path, *rules)
        fingerprints, engine = {"trips": "f1"}, request.param
        return run_suite(suite, frame, table="trips", fingerprints=fingerprints, engine=engine)

    return judge


def write(folder, *rules):
    file = folder / "trips.json"
    file.write_text(json.dumps({"name": "trips", "expectations": list(rules)}), encoding="utf-8")
    return file


def test_a_rule_that_holds_passes_with_the_rows_it_was_computed_from(judge, trips):
    result = judge(trips, rule(BETWEEN, column="distance", min_value=0))
    (check,) = result.report.checks
    assert result.report.verdict is Verdict.PASSED
    assert (check.name, check.rows) == (f"{BETWEEN}(distance)", 4)
    assert check.expected == "distance >= 0"
    assert check.observed == "0 of 3 unexpected"
    assert check.example is None
    assert result.success_percent == 100.0


def test_a_rule_that_is_broken_fails_with_value_reason_and_row(judge, trips):
    result = judge(trips, rule(BETWEEN, column="distance", max_value=5000, notes="miles, not km"))
    (check,) = result.report.checks
    assert result.report.verdict is Verdict.FAILED
    assert check.observed == "1 of 3 unexpected (33.3 %): 9000.0"
    assert check.example == {
        "distance": 9000.0,
        "origin": "EWR",
        "start": "2013-01-04T00:00:00.000Z",
    }
    (line,) = result.report.reasons
    assert "9000.0" in line
    assert "miles, not km" in line


def test_the_report_names_the_table_its_fingerprint_and_the_suite(judge, trips, tmp_path):
    rules = rule("expect_column_to_exist", column="origin")
    report = judge(trips, rules).report
    assert (report.gate, report.subject) == ("expectations", "table:trips")
    assert report.fingerprints == {"trips": "f1"}
    assert report.config_digest == judge(trips, rules).report.config_digest
    other = rule("expect_column_to_exist", column="start")
    assert report.config_digest != judge(trips, other).report.config_digest


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ({"meta": {"severity": "warn"}}, Severity.WARN),
        ({"meta": {"severity": "block"}, "severity": "warning"}, Severity.BLOCK),
        ({"severity": "warning"}, Severity.WARN),
        ({"severity": "info"}, Severity.WARN),
        ({}, Severity.BLOCK),
    ],
)
def test_severity_is_ours_then_that_of_great_expectations_then_block(
    judge, trips, severity, expected
):
    result = judge(trips, {**rule(BETWEEN, column="distance", max_value=5), **severity})
    assert result.report.checks[0].severity is expected


def test_a_failed_warning_does_not_stop_and_is_counted(judge, trips):
    strict = rule(BETWEEN, column="distance", max_value=5, meta={"severity": "warn"})
    result = judge(trips, strict, rule(BETWEEN, column="distance", min_value=0))
    assert result.report.verdict is Verdict.PASSED
    assert result.success_percent == 50.0


@pytest.mark.parametrize(
    ("condition", "words", "rows"),
    [
        (
            {
                "type": "comparison",
                "column": {"name": "origin"},
                "operator": "==",
                "parameter": "EWR",
            },
            "origin == EWR",
            2,
        ),
        (
            {"type": "nullity", "column": {"name": "distance"}, "is_null": False},
            "distance is not null",
            3,
        ),
        (
            {
                "type": "and",
                "conditions": [
                    {"type": "nullity", "column": {"name": "distance"}, "is_null": False},
                    {
                        "type": "comparison",
                        "column": {"name": "origin"},
                        "operator": "IN",
                        "parameter": ["EWR", "LGA"],
                    },
                ],
            },
            "distance is not null and origin in ['EWR', 'LGA']",
            2,
        ),
    ],
)
def test_a_condition_becomes_the_slice_of_the_check(judge, trips, condition, words, rows):
    result = judge(trips, rule(BETWEEN, column="distance", min_value=150, row_condition=condition))
    (check,) = result.report.checks
    assert (check.slice, check.rows) == (words, rows)
    assert check.example["distance"] == 100.0


@pytest.mark.parametrize(
    ("kind", "kwargs", "observed"),
    [
        ("expect_table_row_count_to_be_between", {"min_value": 10}, 4),
        ("expect_column_mean_to_be_between", {"column": "distance", "max_value": 1}, 3100.0),
        (
            "expect_column_distinct_values_to_equal_set",
            {"column": "origin", "value_set": ["EWR", "JFK", "BOS"]},
            {"unexpected": ["LGA"], "absent": ["BOS"]},
        ),
        (
            "expect_table_columns_to_match_set",
            {"column_set": ["distance", "origin", "begin"]},
            {"unexpected": ["start"], "missing": ["begin"]},
        ),
    ],
)
def test_what_was_observed_is_said_for_every_kind_of_rule(judge, trips, kind, kwargs, observed):
    (check,) = judge(trips, rule(kind, **kwargs)).report.checks
    assert check.verdict is Verdict.FAILED
    assert check.observed == observed


def test_a_repeated_key_is_shown_with_its_values(judge, trips):
    repeated = rule("expect_compound_columns_to_be_unique", column_list=["origin", "start"])
    (check,) = judge(pd.concat([trips, trips.iloc[:1]]), repeated).report.checks
    assert check.observed.startswith("2 of 5 unexpected (40 %): (origin EWR, start 2013-01-01")
    assert check.example["distance"] == 100.0


def test_a_set_that_is_broken_shows_a_row_and_a_whole_page(judge, trips, caplog):
    kind = "expect_column_distinct_values_to_be_in_set"
    result = judge(trips, rule(kind, column="origin", value_set=["EWR", "JFK"]))
    (check,) = result.report.checks
    assert check.example["origin"] == "LGA"
    assert "LGA" in result.data_docs
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_all_null_column_fails_and_is_no_error(judge, trips):
    trips["distance"] = None
    result = judge(
        trips,
        rule("expect_column_values_to_not_be_null", column="distance", mostly=0.5),
        rule(BETWEEN, column="distance", min_value=0),
    )
    assert result.report.verdict is Verdict.FAILED
    assert result.report.checks[0].observed == "4 of 4 unexpected (100 %): null"


def test_the_result_is_plain_json_without_nan(judge, trips):
    result = judge(trips, rule("expect_column_mean_to_be_between", column="distance", max_value=1))
    assert "NaN" not in json.dumps(result.result, allow_nan=False)
    assert result.result["results"][0]["result"]["observed_value"] == 3100.0


# Errors: no verdict could be reached.


def test_a_missing_suite_names_the_nearest_one(trips, tmp_path):
    write(tmp_path, rule("expect_column_to_exist", column="origin"))
    with pytest.raises(SuiteError, match="No such file") as error:
        run_suite(tmp_path / "tripz.json", trips, table="trips", fingerprints={})
    assert error.value.fix == "use 'trips'"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "not JSON"),
        ("[]", "not a suite"),
        ('{"name": "trips", "expectations": []}', "not a suite"),
        ('{"name": "trips", "expectations": [{"type": "expect_x"}]}', "not a suite"),
    ],
)
def test_a_file_that_is_no_suite_is_an_error(trips, tmp_path, text, found):
    file = tmp_path / "trips.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SuiteError, match=found):
        run_suite(file, trips, table="trips", fingerprints={})


@pytest.mark.parametrize(
    ("broken", "found", "fix"),
    [
        (
            rule("expect_column_values_to_be_betwen", column="distance"),
            "unknown expectation type 'expect_column_values_to_be_betwen'",
            f"write '{BETWEEN}' instead of 'expect_column_values_to_be_betwen'",
        ),
        (
            rule(BETWEEN, column="distnace", min_value=0),
            "names the column 'distnace', which the table lacks",
            "write 'distance' instead of 'distnace'",
        ),
        (
            rule(
                BETWEEN,
                column="distance",
                min_value=0,
                row_condition={"type": "nullity", "column": {"name": "orign"}, "is_null": True},
            ),
            "names the column 'orign'",
            "write 'origin' instead of 'orign'",
        ),
        (
            rule("expect_compound_columns_to_be_unique", column_list=["origin", "stat"]),
            "names the column 'stat'",
            "write 'start' instead of 'stat'",
        ),
        (
            rule(BETWEEN, column="distance", min_value=0, meta={"severity": "blok"}),
            "unknown severity 'blok'",
            "write 'block' instead of 'blok'",
        ),
        (
            rule(BETWEEN, column="distance", lowest=0),
            "cannot be built",
            "correct its kwargs",
        ),
    ],
)
def test_a_suite_that_cannot_be_evaluated_gives_no_verdict(judge, trips, broken, found, fix):
    with pytest.raises(SuiteError) as error:
        judge(trips, rule("expect_column_to_exist", column="origin"), broken)
    assert "trips" in str(error.value)
    assert found in error.value.found
    assert error.value.fix == fix


def test_a_rule_that_raises_is_a_failed_check_with_the_text(judge, trips):
    result = judge(
        trips,
        rule(BETWEEN, column="origin", min_value=0),
        rule(BETWEEN, column="distance", min_value=0),
    )
    raised, held = result.report.checks
    assert result.report.verdict is Verdict.FAILED
    assert (raised.verdict, held.verdict) == (Verdict.FAILED, Verdict.PASSED)
    assert raised.reason.startswith("raised while it ran: Column values, min_value, and max_value")
    assert "raised while it ran" in result.report.reasons[0]
    assert "raised while it ran" in result.data_docs


def test_asking_for_columns_in_an_order_is_a_failed_rule_and_no_error(judge, trips):
    kind = "expect_table_columns_to_match_ordered_list"
    (check,) = judge(trips, rule(kind, column_list=["origin", "gate"])).report.checks
    assert check.verdict is Verdict.FAILED
    assert check.observed[0]["Expected"] == "origin"


def test_asking_whether_an_absent_column_exists_is_a_failed_rule_and_no_error(judge, trips):
    result = judge(trips, rule("expect_column_to_exist", column="gate"))
    assert result.report.verdict is Verdict.FAILED


def test_an_empty_table_gives_no_verdict(judge, trips):
    with pytest.raises(TableError, match="no rows"):
        judge(trips.iloc[:0], rule("expect_column_to_exist", column="origin"))


# Data Docs: one page that opens anywhere.


def test_the_page_refers_to_nothing_outside_itself(judge, trips):
    page = judge(trips, rule(BETWEEN, column="distance", max_value=5000)).data_docs
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s>)]+)""", page)
    assert links
    assert [link for link in links if not link.startswith("#section-")] == []
    assert re.findall(r"https?:|<script|<link|<iframe|@import", page) == []


def test_the_page_says_verdict_fingerprint_reason_and_example(judge, trips):
    failing = rule(BETWEEN, column="distance", max_value=5000, notes="miles, not km")
    page = judge(trips, failing).data_docs
    for words in ("trips", "failed", "f1", "miles, not km", "9000.0", "Success Percent"):
        assert words in page


def test_the_page_shows_hostile_values_as_text(judge, trips):
    trips["origin"] = "<script>alert(1)</script>"
    page = judge(trips, rule("expect_column_value_lengths_to_equal", column="origin", value=3))
    assert page.report.verdict is Verdict.FAILED
    assert "<script" not in page.data_docs
    assert "&lt;script&gt;alert(1)" in page.data_docs
    assert "default-src 'none'" in page.data_docs


# What a run keeps.


def test_a_result_is_logged_with_report_json_page_metrics_and_tag(judge, trips, tracking):
    result = judge(
        trips,
        rule(BETWEEN, column="distance", max_value=5),
        rule("expect_column_to_exist", column="origin"),
    )
    with mlflow.start_run() as active:
        log_expectations(result)
    data = tracking.get_run(active.info.run_id).data
    assert data.tags["gate.expectations.trips"] == "failed"
    assert data.metrics == {
        "gx.success_percent.trips": 50.0,
        "gx.evaluated.trips": 2.0,
        "gx.unsuccessful.trips": 1.0,
        "gx.quarantined.trips": 3.0,
    }
    page, document = (
        mlflow.artifacts.load_text(f"{active.info.artifact_uri}/validation/trips.{kind}")
        for kind in ("html", "json")
    )
    assert page == result.data_docs
    assert json.loads(document) == result.result
    names = [file.path for file in tracking.list_artifacts(active.info.run_id, "gates")]
    assert names == ["gates/expectations-trips.json"]
    broken = "validation/trips.quarantine.parquet"
    rows = pd.read_parquet(
        mlflow.artifacts.download_artifacts(f"{active.info.artifact_uri}/{broken}")
    )
    assert rows["distance"].tolist() == [100.0, 200.0, 9000.0]
    assert set(rows["_broken"]) == {f"{BETWEEN}(distance)"}


def test_a_result_that_passes_sets_no_rows_aside(judge, trips, tracking):
    result = judge(trips, rule(BETWEEN, column="distance", max_value=5, meta={"severity": "warn"}))
    with mlflow.start_run() as active:
        log_expectations(result)
    names = {file.path for file in tracking.list_artifacts(active.info.run_id, "validation")}
    assert names == {"validation/trips.html", "validation/trips.json"}


# What it costs and what it leaves behind.


def python(code, folder, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        env={key: value for key, value in os.environ.items() if not key.startswith("GX_")},
    )


def test_the_module_is_imported_without_great_expectations(tmp_path):
    code = "import sys, mlflow_ext.gates.expectations as _; print(sorted(sys.modules))"
    loaded = python(code, tmp_path).stdout
    assert "mlflow_ext.gates.expectations" in loaded
    assert [
        name for name in ("'great_expectations'", "'mlflow'", "'pandas'") if name in loaded
    ] == []


def test_a_verdict_needs_no_great_expectations(tmp_path, trips):
    write(tmp_path, rule(BETWEEN, column="distance", max_value=5))
    trips.to_parquet(tmp_path / "trips.parquet", index=False)
    code = """
import sys
from pathlib import Path
from mlflow_ext.gates.expectations import summarise, validate_file

found = validate_file("trips.json", Path("trips.parquet"))
print(summarise(found)["verdict"], "great_expectations" in sys.modules)
"""
    done = python(code, tmp_path)
    assert done.stdout == "failed False\n", done.stderr


@pytest.mark.parametrize("engine", ["compiled", "gx"])
def test_validating_opens_no_connection_prints_nothing_and_leaves_no_file(tmp_path, engine):
    dates = rule("expect_column_values_to_be_of_type", column="start", type_="Timestamp")
    regex = rule("expect_column_values_to_match_regex", column="origin", regex="^[A-Z]+$")
    write(tmp_path, rule(BETWEEN, column="distance", max_value=5), dates, regex)
    code = """
import atexit, sys, tempfile
from pathlib import Path

# An audit hook sees what every library does, without standing in for any of them; what is
# registered first runs last, after anything that is sent at exit.
sent = []
atexit.register(lambda: print(sent))
network = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
sys.addaudithook(lambda event, _: sent.append(event) if event in network else None)
tempfile.tempdir = str(Path("temporary").absolute())
Path("temporary").mkdir()

import pandas as pd
from mlflow_ext.gates.expectations import run_suite

start = pd.to_datetime(["2013-01-01", None], utc=True)
frame = pd.DataFrame({"distance": [1.0, 9.0], "start": start, "origin": ["EWR", None]})
engine = sys.argv[1]
result = run_suite(Path("trips.json"), frame, table="trips", fingerprints={}, engine=engine)
print(result.report.verdict, sorted(str(p) for p in Path(".").rglob("*")))
"""
    done = python(code, tmp_path, engine)
    assert done.stderr == ""
    assert done.stdout == "failed ['temporary', 'trips.json']\n[]\n"


# The command.


@pytest.fixture
def files(tmp_path, trips, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suites = tmp_path / "expectations"
    suites.mkdir()
    write(suites, rule(BETWEEN, column="distance", min_value=0))
    table = pa.Table.from_pandas(trips, preserve_index=False)
    parquet.write_table(table, "trips.parquet")
    csv.write_csv(table.slice(0, 2), "trips.csv")
    return Path()


@pytest.mark.parametrize("data", ["trips.parquet", "trips.csv"])
@pytest.mark.parametrize("suite", ["trips", "expectations/trips.json"])
def test_the_command_says_yes_with_a_document(files, capsys, suite, data):
    assert run(["validate", suite, data, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "passed"
    assert document["fingerprints"] == {"trips": fingerprint_file(Path(data)).digest}
    assert [check["verdict"] for check in document["checks"]] == ["passed"]


@pytest.mark.parametrize("missing", ["", "NA"])
def test_a_missing_text_in_a_csv_is_missing(files, capsys, missing):
    write(files / "expectations", rule("expect_column_values_to_not_be_null", column="origin"))
    Path("trips.csv").write_text(f"origin,distance\nEWR,1\n{missing},2\n", encoding="utf-8")
    assert run(["validate", "trips", "trips.csv"]) == 1
    assert "1 of 2 unexpected (50 %): null" in capsys.readouterr().out


def test_the_command_says_no_with_value_reason_and_example(files, capsys):
    write(files / "expectations", rule(BETWEEN, column="distance", max_value=5000, notes="miles"))
    assert run(["validate", "trips", "trips.parquet"]) == 1
    out = capsys.readouterr().out
    for words in ("failed", "9000.0", "miles", "origin=EWR"):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tripz", "trips.parquet"], "use 'trips'"),
        (["trips", "absent.parquet"], "absent.parquet"),
        (["trips", "expectations/trips.json"], "unknown kind"),
    ],
)
def test_the_command_ends_with_2_when_there_is_no_verdict(files, capsys, arguments, words):
    assert run(["validate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert "Traceback" not in captured.err


def test_a_truncated_data_file_is_an_error_that_names_it(files, capsys):
    whole = Path("trips.parquet").read_bytes()
    Path("trips.parquet").write_bytes(whole[: len(whole) // 2])
    assert run(["validate", "trips", "trips.parquet"]) == 2
    assert "trips.parquet cannot be read" in capsys.readouterr().err


def test_every_error_of_the_gate_is_one_the_command_line_knows():
    assert all(issubclass(kind, MlflowExtError) for kind in (SuiteError, TableError, SourceError))
