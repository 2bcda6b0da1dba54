"""Registering, judging and promoting are the same calls on plain MLflow and a gated registry."""

from dataclasses import replace

import pytest
from registry_shop import make_promotion, make_report

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.project import StageRule
from mlflow_ext.records import Kind
from mlflow_ext.registry.advisory.status import ADVISORY
from mlflow_ext.registry.card import load_policy
from mlflow_ext.registry.dossier import PromotionRequest
from mlflow_ext.registry.mode import NOT_OURS, AdvisoryMode, GatedMode, find_mode
from mlflow_ext.registry.remote import LocalRegistry
from mlflow_ext.registry.rules import dump_policy, parse_policy, policy_digest, policy_of
from mlflow_ext.registry.submit import Judgement

PROMOTION = make_promotion()


@pytest.fixture
def mode(gated):
    gated.add_versions(1)
    return find_mode(gated.client)


def ask_for(stage):
    return PromotionRequest(model="delay", version=1, to_stage=stage, actor="ann", reason="better")


def set_policy(gated, actor="ann", **values):
    """Somebody sets a policy of their own."""
    asked = LocalRegistry(f"gated+{gated.uri}", gated.uri, actor)
    return asked.ask("policy/set", model="delay", policy=values, reason="stricter")


def test_the_mode_is_the_registrys(shop, gated):
    assert isinstance(find_mode(shop.client), AdvisoryMode)
    assert isinstance(find_mode(gated.client), GatedMode)


def test_on_plain_mlflow_the_policy_is_a_tag_and_advisory(shop):
    shop.add_model(1)
    mode = find_mode(shop.client)
    assert mode.govern(PROMOTION) == ()
    assert load_policy(shop.client, "delay") == PROMOTION
    assert mode.governing("delay") == ADVISORY
    shop.judge(1)
    assert mode.promote(PROMOTION, ask_for("Staging")).is_allowed
    assert shop.state()[0] == {1: "Staging"}


def test_on_a_gated_registry_the_policy_is_a_line_of_the_ledger_and_no_tag(gated, mode):
    assert mode.govern(PROMOTION) == ()
    [line] = gated.lines(Kind.POLICY)
    assert line.body["digest"] == policy_digest(policy_of(PROMOTION))
    assert mode.governing("delay") == (
        f"policy 'project.yaml' governs (ledger line {line.seq}, set by {line.actor})"
    )
    assert gated.client.get_registered_model("delay").tags == {}


def test_the_same_promotion_section_is_written_once(gated, mode):
    mode.govern(PROMOTION)
    assert mode.govern(PROMOTION) == ()
    assert len(gated.lines(Kind.POLICY)) == 1


def test_a_changed_promotion_section_replaces_the_earlier_one(gated, mode):
    mode.govern(PROMOTION)
    rule = StageRule(requires=("champion",), alias="champion")
    changed = replace(PROMOTION, stages={**PROMOTION.stages, "Production": rule})
    assert mode.govern(changed) == ()
    newest = gated.lines(Kind.POLICY)[-1]
    assert newest.body["digest"] == policy_digest(policy_of(changed))


def test_a_policy_that_a_person_has_set_stays_and_is_named(gated, mode):
    set_policy(gated, name="strict", stages={"Production": {"approvals": {"count": 2}}})
    assert mode.govern(PROMOTION) == (f"{NOT_OURS}; see: mlflow-ext policy show delay",)
    assert mode.governing("delay").startswith("policy 'strict' governs (ledger line ")
    assert len(gated.lines(Kind.POLICY)) == 1


def test_a_policy_with_owners_is_kept_by_the_registry_and_the_refusal_is_told(gated, mode):
    owned = policy_of(PROMOTION)
    values = dump_policy(owned) | {"groups": {"owners": ["ann"]}, "owners": ["owners"]}
    set_policy(gated, **values)
    [objection] = mode.govern(PROMOTION)
    assert objection.startswith(f"{NOT_OURS}: '")
    assert objection.endswith("; expected: one of its owners: ann")
    assert gated.lines(Kind.POLICY)[-1].body["digest"] == policy_digest(parse_policy(values))


def test_the_default_of_the_server_is_said_to_be_one(mode):
    assert mode.governing("delay") == "policy 'evidence' governs (default of the server)"


def test_signed_evidence_opens_a_stage_and_its_absence_is_a_decision(gated, mode):
    mode.govern(PROMOTION)
    refused = mode.promote(PROMOTION, ask_for("Staging"))
    assert [need.name for need in refused.unmet] == ["gate data", "gate metrics"]
    digest = gated.store.digest_of("delay", 1)
    reports = tuple(make_report(gate, "models:/delay/1") for gate in ("data", "metrics"))
    ids = mode.submit(Judgement(model="delay", version=1, digest=digest, reports=reports))
    assert [line.id for line in gated.lines(Kind.EVIDENCE)] == list(ids)
    assert mode.promote(PROMOTION, ask_for("Staging")).is_allowed
    assert gated.state() == ({1: "Staging"}, {"challenger": 1})


def test_a_stage_without_a_rule_is_an_error_on_plain_mlflow(shop):
    shop.add_model(1)
    with pytest.raises(UnknownNameError, match="Archived"):
        find_mode(shop.client).promote(PROMOTION, ask_for("Archived"))
