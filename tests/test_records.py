"""Records survive JSON, and verdicts combine the careful way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.records import (
    Action,
    Check,
    GateReport,
    Severity,
    Transition,
    Verdict,
    combine,
    describe,
    from_json,
    to_json,
)

verdicts = st.sampled_from(list(Verdict))
checks = st.builds(
    Check,
    name=st.text(min_size=1),
    verdict=verdicts,
    expected=st.text(),
    observed=st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    interval=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
    rows=st.none() | st.integers(0, 10**9),
    slice=st.none() | st.text(),
    severity=st.sampled_from(list(Severity)),
    reason=st.text(),
    example=st.none() | st.dictionaries(st.text(), st.integers() | st.text()),
)
reports = st.builds(
    GateReport,
    gate=st.text(min_size=1),
    subject=st.text(),
    checks=st.lists(checks, max_size=4).map(tuple),
    fingerprints=st.dictionaries(st.text(), st.text()),
    config_digest=st.text(),
    created_ms=st.integers(0, 2**53),
)


def check(verdict, severity=Severity.BLOCK):
    return Check(name="roc_auc", verdict=verdict, expected=">= 0.6", severity=severity)


def report(*parts):
    return GateReport(
        gate="metrics",
        subject="models:/m/1",
        checks=parts,
        fingerprints={},
        config_digest="0",
        created_ms=0,
    )


@given(reports)
def test_report_survives_json(record):
    assert from_json(GateReport, to_json(record)) == record


def test_transition_survives_json():
    record = Transition(
        model="m",
        version=3,
        action=Action.PROMOTE,
        from_stage="Staging",
        to_stage="Production",
        actor="ada",
        reason="better on every slice",
        time_ms=1,
        replaced=2,
        gates={"champion": "passed"},
    )
    assert from_json(Transition, to_json(record)) == record


@given(st.lists(verdicts))
def test_only_passed_throughout_is_passed(found):
    all_passed = bool(found) and set(found) == {Verdict.PASSED}
    assert (combine(found) is Verdict.PASSED) == all_passed


@given(st.lists(verdicts, min_size=1), st.randoms())
def test_order_of_verdicts_does_not_matter(found, random):
    shuffled = random.sample(found, len(found))
    assert combine(shuffled) is combine(found)


def test_warning_never_decides():
    assert report(check(Verdict.PASSED), check(Verdict.FAILED, Severity.WARN)).verdict is (
        Verdict.PASSED
    )


def test_report_without_a_blocking_check_is_inconclusive():
    assert report(check(Verdict.PASSED, Severity.WARN)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.SKIPPED, Verdict.INCONCLUSIVE])
def test_reasons_name_each_blocking_check_that_did_not_pass(verdict):
    (line,) = report(check(verdict), check(Verdict.PASSED)).reasons
    assert line.startswith(f"roc_auc {verdict}")


def test_line_of_a_check_shows_slice_and_figures():
    one = Check(
        name="recall", verdict=Verdict.FAILED, expected=">= 0.5", observed=1 / 3, slice="carrier=UA"
    )
    assert describe(one) == "recall [carrier=UA] failed: observed 0.333333, expected >= 0.5"


def test_line_of_a_check_ends_with_a_row_that_breaks_it():
    one = Check(
        name="not_null(origin)",
        verdict=Verdict.FAILED,
        expected="no nulls",
        observed=2,
        example={"flight": 1545, "origin": None},
    )
    assert describe(one).endswith("; for example flight=1545, origin=None")
