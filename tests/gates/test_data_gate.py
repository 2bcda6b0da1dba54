"""The gate ``data``: a version passes by validation of the very rows it was trained from."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mlflow_ext.gates.candidate import Candidate, Label
from mlflow_ext.gates.data import DataGate
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.records import Check, GateReport, Severity, Verdict


def report(table, fingerprint, *verdicts, severity=Severity.BLOCK):
    checks = tuple(
        Check(name=f"rule{n}", verdict=v, expected=">= 1", observed=0, severity=severity)
        for n, v in enumerate(verdicts or [Verdict.PASSED])
    )
    return GateReport(
        gate="expectations",
        subject=f"table:{table}",
        checks=checks,
        fingerprints={table: fingerprint},
        config_digest="c1",
        created_ms=1,
    )


def judge(*reports, gate=None, folder=Path(), **fingerprints):
    subject = GateSubject(
        model="delay",
        version=3,
        fingerprints={**fingerprints, "holdout": "h1"},
        rows=2,
        created_ms=1,
    )
    candidate = Candidate(
        subject=subject,
        files=Path(),
        holdout=pd.DataFrame({"hour": [1, 23]}),
        label=Label(column="late"),
        folder=folder,
        table_reports=reports,
    )
    (judged,) = judge_candidate({"data": gate or DataGate()}, candidate)
    return judged


def test_a_version_passes_when_every_table_passed_with_its_very_rows():
    judged = judge(report("flights", "f1"), report("weather", "w1"), flights="f1", weather="w1")
    assert judged.verdict is Verdict.PASSED
    assert (judged.gate, judged.subject) == ("data", "models:/delay/3")
    assert [check.name for check in judged.checks] == ["validation(flights)", "validation(weather)"]
    assert judged.fingerprints == {"flights": "f1", "weather": "w1", "holdout": "h1"}


@pytest.mark.parametrize(
    ("reports", "fingerprints", "verdict", "reason"),
    [
        (
            [report("flights", "f2")],
            {"flights": "f1"},
            Verdict.FAILED,
            "other rows: fingerprint f2",
        ),
        (
            [report("flights", "f1", Verdict.PASSED, Verdict.FAILED)],
            {"flights": "f1"},
            Verdict.FAILED,
            "rule1 failed",
        ),
        ([], {"flights": "f1"}, Verdict.INCONCLUSIVE, "no validation report for table 'flights'"),
        ([report("flights", "f1")], {}, Verdict.INCONCLUSIVE, "names no rows of 'flights'"),
        (
            [report("flights", "f1", Verdict.SKIPPED)],
            {"flights": "f1"},
            Verdict.SKIPPED,
            "rule0 skipped",
        ),
        ([], {}, Verdict.INCONCLUSIVE, ""),
    ],
)
def test_anything_else_is_not_passed_and_says_why(reports, fingerprints, verdict, reason):
    judged = judge(*reports, **fingerprints)
    assert judged.verdict is verdict
    assert reason in " ".join(judged.reasons)


def test_one_bad_table_is_enough():
    judged = judge(report("a", "1"), report("b", "2", Verdict.FAILED), a="1", b="2")
    assert judged.verdict is Verdict.FAILED
    assert len(judged.reasons) == 1


def test_a_table_with_only_failed_warnings_is_not_evidence():
    only_warnings = report("a", "1", Verdict.FAILED, severity=Severity.WARN)
    assert judge(only_warnings, a="1").verdict is Verdict.INCONCLUSIVE


def test_the_order_of_reports_does_not_matter():
    one, other = report("a", "1"), report("b", "2")
    forwards, backwards = judge(one, other, a="1", b="2"), judge(other, one, b="2", a="1")
    assert forwards.checks == backwards.checks
    assert forwards.config_digest == backwards.config_digest


def write_suite(folder, largest):
    rule = {"type": "expect_column_values_to_be_between"}
    rule["kwargs"] = {"column": "hour", "min_value": 0, "max_value": largest}
    (folder / "holdout.json").write_text(json.dumps({"name": "holdout", "expectations": [rule]}))
    return DataGate(suite="holdout.json")


@pytest.mark.parametrize(("largest", "verdict"), [(23, "passed"), (22, "failed")])
def test_the_rows_that_judge_are_judged_by_their_suite(tmp_path, largest, verdict):
    judged = judge(gate=write_suite(tmp_path, largest), folder=tmp_path)
    (check,) = judged.checks
    assert (check.name, str(check.verdict)) == ("validation(holdout)", verdict)


def test_another_content_of_the_suite_is_another_configuration(tmp_path):
    first, second, third = (
        judge(gate=write_suite(tmp_path, largest), folder=tmp_path).config_digest
        for largest in (23, 24, 23)
    )
    assert first == third != second
