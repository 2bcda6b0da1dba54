"""`GateCase` finds each way in which a gate can break the laws."""

import itertools
import subprocess
import sys

import pytest
from pydantic.dataclasses import dataclass

from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT
from mlflow_ext.records import Check, Verdict
from mlflow_ext.testing import GateCase
from mlflow_ext.testing.sample import make_candidate, make_flights, with_holdout

COUNTER = itertools.count()


def check(verdict=Verdict.PASSED, **values):
    return Check(**{"name": "a", "expected": "b", "observed": 1, "verdict": verdict} | values)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Blind(Gate):
    """Passes whatever it is shown."""

    limit: float = 1.0

    def judge(self, candidate):
        yield check()


@dataclass(frozen=True, kw_only=True)
class Lax(Gate):
    """Takes any option."""

    def judge(self, candidate):
        yield check()


class Fickle(Blind):
    """Measures something else each time."""

    def judge(self, candidate):
        yield check(observed=next(COUNTER))


class Wavering(Blind):
    """Is configured otherwise each time."""

    def configuration(self, candidate):
        return next(COUNTER)


class Constant(Blind):
    """Hides its options from the digest."""

    def configuration(self, candidate):
        return "always"


class Silent(Blind):
    """Passes without having observed anything."""

    def judge(self, candidate):
        yield check(observed=None)


class Mute(Blind):
    """Reaches no verdict and gives no reason."""

    def judge(self, candidate):
        yield check(Verdict.INCONCLUSIVE)


class Meddler(Blind):
    """Sorts the rows that the next gate is to judge."""

    def judge(self, candidate):
        candidate.holdout["distance"] = 0.0
        yield check()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Doubling(Blind):
    """Changes its own option."""

    def __post_init__(self):
        object.__setattr__(self, "limit", self.limit * 2)


class Tuples(Blind):
    """Observes what JSON cannot tell from a list."""

    def judge(self, candidate):
        yield check(observed=(1, 2))


BROKEN = {
    "test_its_options_survive_being_written_down": (Doubling, "is read as another gate"),
    "test_an_option_that_does_not_exist_is_refused_by_the_name_of_the_gate": (Lax, "taken for an"),
    "test_it_judges_the_candidate_as_it_should": (Mute, "inconclusive"),
    "test_the_same_candidate_gets_the_same_checks_and_the_same_digest": (Fickle, "became"),
    "test_other_options_are_another_configuration": (Constant, "changes nothing"),
    "test_its_report_survives_being_written_down": (Tuples, "is read as"),
    "test_every_check_says_what_it_compared": (Silent, "observed nothing"),
    "test_it_never_passes_what_cannot_be_judged": (Blind, "it passes an empty holdout"),
    "test_it_leaves_the_tables_of_the_candidate_as_they_are": (Meddler, "changed the holdout"),
}


def case(kind, **attributes):
    """A case about a gate that no catalog knows."""

    def gate(self, **options):
        return kind(**options)

    return type("Case", (GateCase,), {"name": kind.__name__, "gate": gate} | attributes)()


@pytest.mark.parametrize("law", BROKEN)
def test_a_broken_law_is_found_and_said(law):
    kind, said = BROKEN[law]
    with pytest.raises(AssertionError, match=said):
        getattr(case(kind, changed={"limit": 2.0}), law)()


def test_a_configuration_that_changes_by_itself_is_found():
    law = "test_the_same_candidate_gets_the_same_checks_and_the_same_digest"
    with pytest.raises(AssertionError, match="configuration changes by itself"):
        getattr(case(Wavering), law)()


def test_a_case_may_say_that_its_gate_never_measures_the_same_twice():
    law = "test_the_same_candidate_gets_the_same_checks_and_the_same_digest"
    getattr(case(Fickle, is_repeatable=False), law)()
    assert case(Fickle).report() is not case(Fickle).report(), "each case asks for itself"


def test_an_unexplained_no_verdict_is_found_on_an_unusable_candidate():
    with pytest.raises(AssertionError, match="without a reason"):
        case(Mute).test_it_never_passes_what_cannot_be_judged()


def test_the_sample_candidate_is_better_than_its_champion():
    candidate = make_candidate()
    options = {"metric": "roc_auc", "direction": "maximize", "margin": 0.1, "test": "superiority"}
    checks = list(build_gate("champion", options).judge(candidate))
    assert checks[-1].verdict is Verdict.PASSED


def test_another_holdout_forgets_what_was_read_for_the_first():
    candidate = make_candidate()
    before = candidate.predictions
    other = with_holdout(candidate, make_flights(seed=5, rows=50))
    assert (before.rows, other.predictions.rows, other.subject.rows) == (600, 50, 50)
    assert other.subject.holdout != candidate.subject.holdout


def test_pytest_is_not_needed_to_install_it():
    code = "import mlflow_ext.testing, sys; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
