"""What must hold for every gate, whoever wrote it.

Subclass `GateCase` in a file that pytest collects, and name the gate and its options::

    class TestSizeGate(GateCase):
        name = "size"
        options = {"max_megabytes": 50}
        changed = {"max_megabytes": 60}
        unusable = {}  # it looks at no rows
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import TypeAdapter

from mlflow_ext.errors import GateConfigError
from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.config import config_digest
from mlflow_ext.gates.interface import Gate
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.records import Check, GateReport, Verdict, from_json, to_json
from mlflow_ext.settings import validate
from mlflow_ext.testing.sample import make_candidate, with_holdout

Spoil = Callable[[Candidate], Candidate]
UNKNOWN = "no_such_option"


def _take_rows_away(candidate: Candidate) -> Candidate:
    return with_holdout(candidate, candidate.holdout.head(0))


def _leave_one_class(candidate: Candidate) -> Candidate:
    truth = candidate.holdout[candidate.label.column]
    return with_holdout(candidate, candidate.holdout[truth == candidate.label.positive])


def _lose_scores(candidate: Candidate) -> Candidate:
    return with_holdout(make_candidate("undecided"), candidate.holdout)


UNUSABLE: Mapping[str, Spoil] = {
    "an empty holdout": _take_rows_away,
    "a holdout of one class": _leave_one_class,
    "scores that are NaN": _lose_scores,
}
"""What a candidate may be like that nobody can judge."""
_REPORTS: dict[type[GateCase], GateReport] = {}


class GateCase:
    """Runs a gate on a real candidate; every method that starts with ``test_`` is a law."""

    name: ClassVar[str]
    """Under which the gate is found: its module, or its entry point."""
    options: ClassVar[Mapping[str, Any]] = {}
    """With which `candidate` passes it."""
    changed: ClassVar[Mapping[str, Any]] = {}
    """Other options that make it another gate; empty where it has none."""
    unusable: ClassVar[Mapping[str, Spoil]] = UNUSABLE
    """Kinds of unusable candidates that it must not pass. Leave out only what the gate does not
    look at: one that weighs files passes them on an empty holdout, too."""
    verdict: ClassVar[Verdict] = Verdict.PASSED
    """What it says about `candidate`."""
    is_repeatable: ClassVar[bool] = True
    """False where it measures what is never twice the same, such as time."""

    def gate(self, **options: Any) -> Gate:
        """Set the gate up with its options and *options*; override it to build it otherwise."""
        return build_gate(self.name, {**self.options, **options})

    def candidate(self) -> Candidate:
        """Return what is judged; override it where the gate needs something else."""
        return make_candidate()

    def judge(self, candidate: Candidate) -> GateReport:
        """Have a candidate judged."""
        (found,) = judge_candidate({self.name: self.gate()}, candidate)
        return found

    def report(self) -> GateReport:
        """Return what the gate says about `candidate`; it is asked once."""
        kind = type(self)
        if kind not in _REPORTS:
            _REPORTS[kind] = self.judge(self.candidate())
        return _REPORTS[kind]

    def test_its_options_survive_being_written_down(self) -> None:
        """A gate that is written down and read again is the same gate."""
        gate = self.gate()
        written = TypeAdapter(type(gate)).dump_python(gate, mode="json")
        assert validate(type(gate), written) == gate, f"{written} is read as another gate"

    def test_an_option_that_does_not_exist_is_refused_by_the_name_of_the_gate(self) -> None:
        """A mistyped option must never be ignored."""
        try:
            self.gate(**{UNKNOWN: 1})
        except GateConfigError as error:
            assert self.name in error.found and UNKNOWN in error.found, error.found
        else:
            raise AssertionError(f"'{UNKNOWN}' is taken for an option: use config=STRICT")

    def test_it_judges_the_candidate_as_it_should(self) -> None:
        """The candidate is good, so its options must let it pass."""
        found = self.report()
        assert found.verdict is self.verdict, f"{found.verdict}: {found.reasons}"

    def test_the_same_candidate_gets_the_same_checks_and_the_same_digest(self) -> None:
        """A verdict that cannot be repeated proves nothing."""
        first, second = self.report(), self.judge(self.candidate())
        assert first.config_digest == second.config_digest, "its configuration changes by itself"
        assert _asked(first) == _asked(second), "it compares other things each time"
        if self.is_repeatable:
            assert first.checks == second.checks, f"{first.checks} became {second.checks}"

    def test_other_options_are_another_configuration(self) -> None:
        """Evidence of a laxer gate must not count for a stricter one."""
        candidate = self.candidate()
        found = self.gate().configuration(candidate)
        if self.changed:
            other = self.gate(**self.changed).configuration(candidate)
            assert config_digest(found) != config_digest(other), f"{self.changed} changes nothing"

    def test_its_report_survives_being_written_down(self) -> None:
        """The ledger holds what a gate said as JSON."""
        found = self.report()
        read = from_json(GateReport, to_json(found))
        assert read == found, f"{found} is read as {read}"

    def test_every_check_says_what_it_compared(self) -> None:
        """Whoever reads a refusal has to see what was found and what was wanted."""
        found = self.report()
        for check in found.checks:
            assert check.name and check.expected, f"{check} names no rule"
            if check.verdict in (Verdict.PASSED, Verdict.FAILED):
                assert check.observed is not None, f"{check} has observed nothing"
            _assert_explained(check)

    def test_it_never_passes_what_cannot_be_judged(self) -> None:
        """No data is no success."""
        for what, spoil in self.unusable.items():
            found = self.judge(spoil(self.candidate()))
            assert found.verdict is not Verdict.PASSED, f"it passes {what}: {found.checks}"
            for check in found.checks:
                _assert_explained(check)

    def test_it_leaves_the_tables_of_the_candidate_as_they_are(self) -> None:
        """The next gate judges the same rows."""
        candidate = self.candidate()
        tables = {"holdout": candidate.holdout, "training": candidate.training}
        before = {name: frame.copy() for name, frame in tables.items() if frame is not None}
        self.judge(candidate)
        for name, frame in before.items():
            after = tables[name]
            assert after is not None and frame.equals(after), f"it has changed the {name}"


def _asked(report: GateReport) -> list[tuple[str, str | None, str]]:
    return [(check.name, check.slice, check.expected) for check in report.checks]


def _assert_explained(check: Check) -> None:
    is_open = check.verdict in (Verdict.INCONCLUSIVE, Verdict.SKIPPED)
    assert check.reason or not is_open, f"{check} is {check.verdict} without a reason"
