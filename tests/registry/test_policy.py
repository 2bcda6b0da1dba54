"""The policy as a pure function: the algebra by hypothesis, each refusal by example."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_shop import make_promotion, make_report

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.project import Promotion, StageRule
from mlflow_ext.records import Verdict, combine
from mlflow_ext.registry.policy import RUN_GATES, PromotionRequest, decide

GATES = ("data", "metrics", "champion")
SUBJECT = "models:/delay/1"
FULL = [make_report(gate, SUBJECT) for gate in GATES]
NOT_PASSED = [verdict for verdict in Verdict if verdict is not Verdict.PASSED]

verdicts = st.sampled_from(list(Verdict))
reports = st.builds(
    make_report,
    gate=st.sampled_from([*GATES, "other"]),
    subject=st.sampled_from([SUBJECT, "models:/delay/11", "models:/other/1", "table:features"]),
    verdict=verdicts,
    created_ms=st.integers(0, 3),
)
evidence = st.lists(reports, max_size=12)
stages = st.dictionaries(
    st.integers(1, 3), st.sampled_from(["None", "Staging", "Production", "Archived"])
)
targets = st.sampled_from(["Staging", "Production"])


def ask(to_stage, found, held, version=1, promotion=None):
    request = PromotionRequest(
        model="delay", version=version, to_stage=to_stage, actor="ann@desk", reason="better"
    )
    return decide(promotion or make_promotion(), request, found, held)


def required(to_stage):
    return GATES if to_stage == "Production" else GATES[:2]


@given(targets, evidence, stages)
def test_yes_means_there_already_or_every_required_gate_passed_last(to_stage, found, held):
    decision = ask(to_stage, found, held)
    if not decision.is_allowed or held[1] == to_stage:
        return
    for gate in required(to_stage):
        about = [r for r in found if (r.gate, r.subject) == (gate, SUBJECT)]
        newest = max(r.created_ms for r in about)
        assert combine([r.verdict for r in about if r.created_ms == newest]) is Verdict.PASSED


@given(targets, evidence, stages, reports)
def test_a_passed_report_never_turns_yes_into_no_and_another_never_no_into_yes(
    to_stage, found, held, extra
):
    before, after = ask(to_stage, found, held), ask(to_stage, [*found, extra], held)
    if extra.verdict is Verdict.PASSED:
        assert after.is_allowed or not before.is_allowed
    else:
        assert before.is_allowed or not after.is_allowed


@given(targets, evidence, stages)
def test_reports_about_anything_else_and_their_order_do_not_matter(to_stage, found, held):
    about = [report for report in found if report.subject == SUBJECT]
    decision = ask(to_stage, found, held)
    assert ask(to_stage, about, held).is_allowed == decision.is_allowed
    assert ask(to_stage, found[::-1], held).is_allowed == decision.is_allowed


@given(targets, evidence)
def test_what_is_already_so_is_a_yes_whatever_the_evidence(to_stage, found):
    assert ask(to_stage, found, {1: to_stage}).is_allowed


@given(targets, evidence, stages)
def test_a_no_names_what_was_found_and_a_command_for_each_requirement(to_stage, found, held):
    for requirement in ask(to_stage, found, held).unmet:
        assert requirement.name and requirement.found
        assert requirement.fix.startswith(("mlflow run ", "mlflow-ext "))


@given(targets, evidence, stages)
def test_a_version_that_does_not_exist_is_never_allowed(to_stage, found, held):
    assert not ask(to_stage, found, held, version=9).is_allowed


@pytest.mark.parametrize("verdict", NOT_PASSED)
@pytest.mark.parametrize("gate", GATES)
def test_each_gate_that_did_not_pass_is_named_with_its_verdict_and_fix(gate, verdict):
    found = [make_report(g, SUBJECT, verdict if g == gate else Verdict.PASSED) for g in GATES]
    (unmet,) = ask("Production", found, {1: "Staging"}).unmet
    assert unmet.name == f"gate {gate}"
    assert unmet.found.startswith(f"{verdict}: roc_auc")
    assert unmet.fix == RUN_GATES


def test_a_report_about_another_version_is_named_but_does_not_count():
    found = [*FULL[:2], make_report("champion", "models:/delay/2")]
    (unmet,) = ask("Production", found, {1: "Staging", 2: "Production"}).unmet
    assert unmet.found == "no report for models:/delay/1, only for models:/delay/2"


def test_of_two_reports_of_one_gate_the_later_decides():
    late_failure = make_report("data", SUBJECT, Verdict.FAILED, created_ms=5)
    assert not ask("Staging", [*FULL, late_failure], {1: "None"}).is_allowed
    repaired = make_report("data", SUBJECT, Verdict.PASSED, created_ms=6)
    assert ask("Staging", [*FULL, late_failure, repaired], {1: "None"}).is_allowed


def test_production_is_reached_through_staging_and_the_refusal_says_how():
    (unmet,) = ask("Production", FULL, {1: "None"}).unmet
    assert unmet.name == "stage Staging"
    assert unmet.found == "version 1 is in stage None"
    assert unmet.fix == "mlflow-ext promote delay 1 --to Staging --reason '...'"
    assert ask("Staging", FULL, {1: "None"}).is_allowed
    assert ask("Production", FULL, {1: "Staging"}).is_allowed


def test_a_version_in_production_is_not_moved_down_by_a_promotion():
    (unmet,) = ask("Staging", FULL, {1: "Production"}).unmet
    assert unmet.fix == "mlflow-ext rollback delay --reason '...'"


def test_without_a_rule_for_staging_production_is_reached_directly():
    rule = StageRule(requires=("metrics",), alias="champion")
    direct = Promotion(model="delay", stages={"Production": rule})
    assert ask("Production", FULL, {1: "None"}, promotion=direct).is_allowed


def test_a_policy_of_another_model_allows_nothing():
    decision = ask("Staging", FULL, {1: "None"}, promotion=make_promotion("other"))
    assert [unmet.found for unmet in decision.unmet] == ["the policy governs 'other'"]


def test_a_stage_without_a_rule_cannot_be_judged():
    with pytest.raises(UnknownNameError, match="write 'Production' instead of 'production'"):
        ask("production", FULL, {1: "Staging"})
