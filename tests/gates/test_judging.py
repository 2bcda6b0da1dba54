"""Every gate leaves a report, whatever happens inside it."""

import numpy as np
import pandas as pd
import pytest
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import GateConfigError, TableError, UnknownNameError
from mlflow_ext.gates.candidate import Candidate, Label
from mlflow_ext.gates.catalog import build_gate, find_gate, known_gates
from mlflow_ext.gates.champion import ChampionGate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.project import STRICT
from mlflow_ext.records import Check, GateReport, Verdict, from_json, to_json


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RowsGate(Gate):
    """Are there rows enough?"""

    at_least: int

    def judge(self, candidate):
        found = candidate.subject.rows
        if found == 0:
            raise TableError("holdout", "it has no rows", "rows", "add some")
        if found < 0:
            raise ZeroDivisionError("the author did not think of that")
        yield Check(
            name="rows",
            verdict=Verdict.PASSED if found >= self.at_least else Verdict.FAILED,
            expected=f">= {self.at_least}",
            observed=found,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SilentGate(Gate):
    """Compares nothing."""

    def judge(self, candidate):
        return ()


def candidate(tmp_path, rows=3):
    subject = GateSubject(
        model="delay", version=2, fingerprints={"holdout": "f00d"}, rows=rows, created_ms=5
    )
    holdout = pd.DataFrame({"x": np.arange(3.0), "late": [0, 1, 0]})
    return Candidate(subject=subject, files=tmp_path, holdout=holdout, label=Label(column="late"))


def test_each_gate_says_what_it_is_about_and_survives_json(tmp_path):
    gates = {"rows": RowsGate(at_least=2), "more": RowsGate(at_least=4)}
    first, second = judge_candidate(gates, candidate(tmp_path))
    assert (first.gate, str(first.verdict), second.gate, str(second.verdict)) == (
        *("rows", "passed"),
        *("more", "failed"),
    )
    assert (first.subject, first.fingerprints) == ("models:/delay/2", {"holdout": "f00d"})
    assert first.config_digest != second.config_digest
    assert from_json(GateReport, to_json(first)) == first


@pytest.mark.parametrize(
    ("rows", "said"),
    [(0, "table 'holdout': it has no rows"), (-1, "ZeroDivisionError: the author did not think")],
)
def test_a_gate_that_reaches_no_verdict_is_inconclusive_and_stops_no_other(tmp_path, rows, said):
    gates = {"rows": RowsGate(at_least=2), "data": build_gate("data", {})}
    broken, other = judge_candidate(gates, candidate(tmp_path, rows))
    assert (str(broken.verdict), broken.checks[0].name) == ("inconclusive", "verdict")
    assert said in broken.checks[0].reason
    assert other.gate == "data"


def test_a_gate_that_compares_nothing_has_not_passed(tmp_path):
    (report,) = judge_candidate({"silent": SilentGate()}, candidate(tmp_path))
    assert str(report.verdict) == "inconclusive"
    assert "compared nothing" in report.reasons[0]


def test_a_gate_is_known_by_the_name_of_its_module():
    assert {"champion", "data", "metrics"} <= known_gates()
    assert find_gate("champion") is ChampionGate


def test_an_unknown_gate_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="write 'champion' instead of 'champoin'"):
        build_gate("champoin", {})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": "roc_auc", "direction": "maximize", "margni": 0.1}, "rename it to 'margin'"),
        ({"metric": "roc_auc", "direction": "maximize"}, "missing key 'margin'"),
        ({"metric": "roc_auc", "direction": "maximize", "margin": "much"}, "'margin' is 'much'"),
        ({"metric": "roc_auc", "direction": "maximize", "margin": -1.0}, "greater than or equal"),
    ],
)
def test_a_wrong_option_is_told_with_its_gate(options, said):
    with pytest.raises(GateConfigError, match=f"gate 'champion': [^$]*{said}"):
        build_gate("champion", options)
