"""The decision as a pure function: each rule by example, the algebra by hypothesis."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from registry_shop import make_promotion

from mlflow_ext.project import Promotion, StageRule
from mlflow_ext.records import (
    Action,
    Attestation,
    Decision,
    Trust,
    Verdict,
    Vote,
    from_json,
    to_json,
)
from mlflow_ext.registry.policy import RUN_GATES, Dossier, PromotionRequest, decide
from mlflow_ext.registry.rules import (
    BUILT_IN,
    EVIDENCE,
    GateRule,
    Policy,
    StagePolicy,
    parse_policy,
    policy_of,
)

CASES = [
    pytest.param(case, id=case["case"].replace(" ", "-"))
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text(encoding="utf-8"))
]
NOW = 1_772_820_000_000  # Friday 2026-03-06 18:00 UTC
HOUR = 3_600_000


def attestation(gate="metrics", verdict="passed", trust="attested", when=0, **fields):
    defaults = {"id": 1, "config_digest": "c" * 64, "created_ms": NOW - when * HOUR}
    return Attestation(**defaults | fields, gate=gate, verdict=Verdict(verdict), trust=Trust(trust))


def vote(actor, is_approval=True, to_stage="Production", when=0, **fields):
    defaults = {"id": 1, "time_ms": NOW - when * HOUR}
    return Vote(**defaults | fields, actor=actor, is_approval=is_approval, to_stage=to_stage)


def ask(to_stage="Production", version=1, action=Action.PROMOTE, actor="ann"):
    return PromotionRequest(
        model="delay",
        version=version,
        to_stage=to_stage,
        actor=actor,
        reason="better",
        action=action,
    )


def decide_case(case):
    policy = case["policy"]
    entered = case.get("entered")
    dossier = Dossier(
        stages=case.get("stages", {1: "Staging"}),
        attestations=tuple(attestation(**one) for one in case.get("attestations", ())),
        votes=tuple(vote(**one) for one in case.get("votes", ())),
        authors=tuple(case.get("authors", ())),
        entered_ms=None if entered is None else NOW - entered * HOUR,
        has_been_there=case.get("has_been_there", False),
        changed_files=case.get("changed_files", ""),
        is_settled=case.get("is_settled", True),
        now_ms=NOW,
    )
    request = ask(
        case.get("to_stage", "Production"),
        action=Action(case.get("action", "promote")),
        actor=case.get("actor", "ann"),
    )
    return decide(
        BUILT_IN[policy] if isinstance(policy, str) else parse_policy(policy), request, dossier
    )


@pytest.mark.parametrize("case", CASES)
def test_case(case):
    decision = decide_case(case)
    assert [rule.name for rule in decision.unmet] == case["unmet"]
    assert decision.is_allowed == (not case["unmet"])
    last = decision.requirements[-1] if decision.is_allowed else decision.unmet[-1]
    assert case.get("found", last.found) == last.found
    assert case.get("fix", last.fix) == last.fix
    names = [rule.name for rule in decision.requirements]
    assert case.get("rules", names) == names


# --- the algebra ---------------------------------------------------------------------------------

GATES = ("data", "metrics", "")
stage_names = st.sampled_from(["None", "Staging", "Production", "Archived", "uat"])
trusts = st.sampled_from(list(Trust))
attestations = st.builds(
    Attestation,
    id=st.integers(0, 9),
    gate=st.sampled_from(GATES),
    verdict=st.sampled_from(list(Verdict)),
    trust=trusts,
    config_digest=st.sampled_from(["a" * 64, "b" * 64]),
    created_ms=st.integers(NOW - 3 * HOUR, NOW + HOUR),
    reasons=st.just(("roc_auc failed",)),
    observed=st.none() | st.dictionaries(st.just("roc_auc"), st.floats(0, 1)),
    problem=st.sampled_from(["", "", "it was revoked"]),
)
votes = st.builds(
    Vote,
    id=st.integers(0, 9),
    actor=st.sampled_from(["ann", "bob", "eve"]),
    is_approval=st.booleans(),
    to_stage=stage_names,
    time_ms=st.integers(NOW - 3 * HOUR, NOW),
)
dossiers = st.builds(
    Dossier,
    stages=st.dictionaries(st.integers(1, 3), stage_names),
    attestations=st.lists(attestations, max_size=8).map(tuple),
    votes=st.lists(votes, max_size=4).map(tuple),
    authors=st.lists(st.sampled_from(["ann", "bob"]), max_size=2).map(tuple),
    entered_ms=st.none() | st.integers(NOW - 3 * HOUR, NOW),
    has_been_there=st.booleans(),
    changed_files=st.sampled_from(["", "other files"]),
    is_settled=st.booleans(),
    now_ms=st.just(NOW),
)
gate_rules = st.fixed_dictionaries(
    {"gate": st.sampled_from(GATES[:2])},
    optional={
        "trust": trusts.map(str),
        "max_age": st.sampled_from(["1h", "2h"]),
        "config_digest": st.just("a" * 64),
        "minimum": st.just({"roc_auc": 0.5}),
    },
)
rules = st.fixed_dictionaries(
    {},
    optional={
        "comes_from": st.lists(stage_names, max_size=3),
        "gates": st.lists(gate_rules, max_size=2),
        "min_passed": st.integers(0, 2),
        "trust": trusts.map(str),
        "approvals": st.fixed_dictionaries({"count": st.integers(1, 2)}),
        "min_time": st.just("1h"),
        "freeze": st.just([{"starts": "0 20 * * *", "lasts": "23h"}]),
        "force": st.just({"groups": ["duty"]}),
    },
)
policies = st.builds(
    lambda production, uat: parse_policy(
        {
            "name": "any",
            "stages": {"Production": production, "uat": {**uat, "alias": "uat"}},
            "groups": {"duty": ["ann"]},
        }
    ),
    rules,
    rules,
)
requests = st.builds(
    ask,
    to_stage=stage_names,
    version=st.integers(1, 3),
    action=st.sampled_from(list(Action)),
    actor=st.sampled_from(["ann", "bob"]),
)


def with_another(dossier, *more):
    return replace(dossier, attestations=(*dossier.attestations, *more))


def met(decision):
    return [(rule.name, rule.is_met) for rule in decision.requirements]


@given(policies, requests, dossiers, attestations)
def test_more_passed_evidence_never_turns_yes_into_no(policy, request, dossier, more):
    before = decide(policy, request, dossier)
    passed = replace(more, verdict=Verdict.PASSED)
    after = decide(policy, request, with_another(dossier, passed))
    assert after.is_allowed or not before.is_allowed


@given(policies, requests, dossiers, attestations)
def test_a_failed_gate_never_turns_no_into_yes(policy, request, dossier, more):
    before = decide(policy, request, dossier)
    failed = replace(more, verdict=Verdict.FAILED)
    after = decide(policy, request, with_another(dossier, failed))
    assert before.is_allowed or not after.is_allowed


@given(policies, requests, dossiers, attestations)
def test_what_was_skipped_or_inconclusive_or_is_spoiled_changes_nothing(
    policy, request, dossier, more
):
    before = met(decide(policy, request, dossier))
    for void in (
        replace(more, verdict=Verdict.SKIPPED),
        replace(more, verdict=Verdict.INCONCLUSIVE),
        replace(more, problem="it is about another model"),
    ):
        assert met(decide(policy, request, with_another(dossier, void))) == before


@given(policies, requests, dossiers)
def test_the_order_in_which_evidence_came_does_not_matter(policy, request, dossier):
    turned = replace(dossier, attestations=dossier.attestations[::-1])
    assert met(decide(policy, request, turned)) == met(decide(policy, request, dossier))


@given(policies, requests, dossiers)
def test_the_same_dossier_gives_the_same_decision_even_from_its_json(policy, request, dossier):
    decision = decide(policy, request, dossier)
    read = from_json(Dossier, to_json(dossier))
    asked = from_json(PromotionRequest, to_json(request))
    assert (read, asked) == (dossier, request)
    assert decide(policy, asked, read) == decision
    assert from_json(Decision, to_json(decision)) == decision


@given(policies, requests, dossiers)
def test_every_rule_says_what_was_found_and_each_unmet_one_a_command(policy, request, dossier):
    for rule in decide(policy, request, dossier).requirements:
        assert rule.name and rule.found
        assert rule.is_met == (not rule.fix)
        assert rule.is_met or rule.fix.startswith("mlflow-ext ")


@given(policies, requests, dossiers)
def test_a_version_that_does_not_exist_goes_nowhere(policy, request, dossier):
    nobody = replace(request, version=9)
    assert not decide(policy, nobody, dossier).is_allowed


@given(policies, requests, dossiers)
def test_force_lists_the_rules_that_a_promotion_would_have_to_meet(policy, request, dossier):
    promoted = decide(policy, replace(request, action=Action.PROMOTE), dossier)
    forced = decide(policy, replace(request, action=Action.FORCE), dossier)
    names = {rule.name.removeprefix("forced past: ") for rule in forced.requirements}
    assert {rule.name for rule in promoted.requirements} <= names


# --- words ---------------------------------------------------------------------------------------


def test_the_command_that_makes_evidence_is_the_callers():
    dossier = Dossier(stages={1: "None"})
    assert RUN_GATES.startswith("mlflow-ext gate")
    assert decide(EVIDENCE, ask(), dossier).unmet[0].fix == "mlflow-ext gate run delay 1"
    assert decide(EVIDENCE, ask(), dossier, "mlflow run .").unmet[0].fix == "mlflow run ."


def test_a_name_with_spaces_is_quoted_in_commands():
    request = replace(ask(), model="my model")
    (rule,) = decide(EVIDENCE, request, Dossier(stages={1: "None"})).unmet
    assert rule.fix == "mlflow-ext gate run 'my model' 1"


def test_a_decision_names_the_stage_as_mlflow_does():
    assert decide(EVIDENCE, ask("production"), Dossier(stages={1: "None"})).to_stage == "Production"


@pytest.mark.parametrize(
    ("verdict", "found"),
    [("failed", "failed: roc_auc low"), ("skipped", "skipped: roc_auc low")],
)
def test_a_gate_that_did_not_pass_is_told_with_its_reasons(verdict, found):
    rule = StagePolicy(gates=(GateRule(gate="metrics"),))
    policy = Policy(name="p", stages={"Production": rule})
    one = attestation(verdict=verdict, reasons=("roc_auc low",))
    (rule,) = decide(policy, ask(), Dossier(stages={1: "None"}, attestations=(one,))).unmet
    assert (rule.name, rule.found) == ("gate metrics", found)


# --- the promotion section of a project ----------------------------------------------------------

FULL = tuple(attestation(gate, trust="claimed") for gate in ("data", "metrics", "champion"))


@pytest.mark.parametrize(
    ("to_stage", "present", "count", "unmet"),
    [
        ("Staging", "None", 2, []),
        ("Staging", "Archived", 2, []),
        ("Staging", "None", 1, ["gate metrics"]),
        ("Staging", "Production", 3, ["stage None or Archived"]),
        ("Production", "Staging", 3, []),
        ("Production", "Staging", 2, ["gate champion"]),
        ("Production", "None", 3, ["stage Staging"]),
        ("Production", "Production", 0, []),
    ],
)
def test_a_project_promotes_step_by_step_through_its_gates(to_stage, present, count, unmet):
    dossier = Dossier(stages={1: present}, attestations=FULL[:count])
    decision = decide(policy_of(make_promotion()), ask(to_stage), dossier)
    assert [rule.name for rule in decision.unmet] == unmet


@pytest.mark.parametrize(("present", "is_allowed"), [("None", True), ("Staging", False)])
def test_without_a_rule_for_staging_production_is_reached_directly(present, is_allowed):
    rule = StageRule(requires=("metrics",), alias="champion")
    policy = policy_of(Promotion(model="delay", stages={"Production": rule}))
    dossier = Dossier(stages={1: present}, attestations=FULL)
    assert decide(policy, ask(), dossier).is_allowed == is_allowed
