"""The gate `latency`: words about times by the case, and real models that sleep."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from gate_candidates import candidate, judge, save, save_code
from judged_models import flights

from mlflow_ext.errors import GateConfigError, TableError
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.latency import LatencyGate, judge_times

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "latency.yaml").read_text())
SLEEPS = """
with open("calls.txt", "a") as calls:
    calls.write(f"{len(model_input)} {list(model_input.columns)}\\n")
time.sleep(0.02)
return [0.5] * len(model_input)
"""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    times = np.concatenate([np.full(count, ms) for ms, count in case["times"].items()])
    check = judge_times(times.astype(float), 1, case["ceiling"])
    assert (str(check.verdict), check.observed) == (case["verdict"], case["observed"])
    assert check.expected == f"<= {case['ceiling']}"


def test_an_interval_without_an_end_is_not_reported_as_a_number():
    assert judge_times(np.full(71, 1.0), 1, 5).interval is None
    assert judge_times(np.full(72, 1.0), 1, 5).interval == (1.0, 1.0)


def test_a_fast_model_passes_with_one_row_and_with_many(tmp_path):
    gate = LatencyGate(max_single_ms=60_000, max_batch_ms=60_000, batch_rows=50)
    checks = judge(gate, candidate(save(tmp_path)))
    assert {name: str(check.verdict) for name, check in checks.items()} == {
        "p95_ms(1 row)": "passed",
        "p95_ms(50 rows)": "passed",
    }
    for check in checks.values():
        low, high = check.interval
        assert 0 < low <= check.observed <= high
        assert check.reason.startswith("100 calls, median ")


def test_a_slow_model_fails_after_the_calls_for_which_there_was_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gate = LatencyGate(max_single_ms=1, max_seconds=1, warmup=1)
    (check,) = gate.judge(candidate(save_code(tmp_path, SLEEPS)))
    assert str(check.verdict) == "failed"
    assert check.observed >= 20
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    assert 2 <= len(calls) < 101
    assert set(calls) == {"1 ['x', 'hour']"}, "the target is no input"


def test_a_batch_larger_than_the_holdout_takes_its_rows_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gate = LatencyGate(max_batch_ms=1, batch_rows=700, max_seconds=0.001, warmup=0)
    (check,) = gate.judge(candidate(save_code(tmp_path, SLEEPS)))
    assert (check.name, str(check.verdict)) == ("p95_ms(700 rows)", "inconclusive")
    assert (tmp_path / "calls.txt").read_text().startswith("700 ")


def test_without_rows_there_is_no_verdict(tmp_path):
    with pytest.raises(TableError, match="no rows"):
        judge(LatencyGate(max_single_ms=1), candidate(save(tmp_path), flights().head(0)))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, "max_single_ms or max_batch_ms"),
        ({"max_single_ms": 5, "repetitions": 71}, "repetitions"),
        ({"max_single_ms": 5, "repetition": 100}, "unknown key 'repetition'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, found):
    with pytest.raises(GateConfigError, match=found):
        build_gate("latency", options)
