"""Ways round a refusal that somebody tried; each is closed."""

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException
from registry_shop import make_report

from mlflow_ext.errors import RefusedError, RequestError
from mlflow_ext.records import Kind, Trust
from mlflow_ext.registry.signing import seal
from mlflow_ext.registry.statement import make_statement

ELSEWHERE = "sandbox"
OPEN = {"name": "free", "stages": {}}


def govern_freely(shop, model=ELSEWHERE):
    """Let nothing be asked under a name that no model has yet."""
    shop.ask("policy/set", model=model, policy=OPEN)


@pytest.mark.parametrize("alias", ["champion", "Champion"])
def test_an_alias_set_under_a_free_name_does_not_come_back_with_the_model(gated, alias):
    gated.add_versions(1)
    govern_freely(gated)
    gated.client.rename_registered_model(MODEL, ELSEWHERE)
    gated.client.set_registered_model_alias(ELSEWHERE, alias, "1")
    with pytest.raises(MlflowException, match="goes with stage Production") as refused:
        gated.client.rename_registered_model(ELSEWHERE, MODEL)
    assert refused.value.error_code == "PERMISSION_DENIED"


def test_who_registered_a_version_is_its_author_under_every_name(gated):
    approved = {"Production": {"alias": "champion", "approvals": {"count": 1}}}
    gated.add_versions(1)
    [registered] = gated.lines(Kind.REGISTRATION)
    gated.govern(stages=approved, model="final")
    gated.client.rename_registered_model(MODEL, "final")
    gated.ask("approve", registered.actor, model="final", version=1, to="Production")
    answer = gated.ask("promote", model="final", version=1, to="Production")
    assert not answer["decision"]["is_allowed"]
    gated.ask("approve", "somebody else", model="final", version=1, to="Production")
    assert gated.ask("promote", model="final", version=1, to="Production")["transition"]


@on_each_database
def test_revoked_evidence_does_not_count_when_it_is_handed_in_again(gated):
    gated.add_versions(1)
    envelope = gated.sign(gated.bind(1))
    twins = [gated.ask("evidence/add", model=MODEL, version=1, envelopes=[envelope]) for _ in "ab"]
    gated.ask("evidence/revoke", id=twins[0]["ids"][0], reason="wrong data")
    gated.ask("evidence/add", model=MODEL, version=1, envelopes=[envelope])
    with pytest.raises(MlflowException, match="it was revoked"):
        gated.promote(1)


def test_a_bundle_does_not_bring_back_what_was_revoked(gated):
    gated.add_versions(1)
    line = gated.judge(1)
    source = gated.client.get_model_version(MODEL, "1").source
    gated.client.create_model_version(MODEL, source)
    bundle = gated.ask("evidence/export", model=MODEL, version=1)
    gated.ask("evidence/revoke", id=line.id, reason="wrong data")
    for version in (1, 2):
        with pytest.raises(RefusedError, match="revoked here"):
            gated.ask("evidence/import", model=MODEL, version=version, bundle=bundle)


def test_an_export_leaves_out_the_twin_of_revoked_evidence(gated):
    gated.add_versions(1)
    envelope = gated.sign(gated.bind(1))
    first, _ = (gated.add_evidence(1, envelope) for _ in "ab")
    gated.ask("evidence/revoke", id=first.id, reason="wrong data")
    assert gated.ask("evidence/export", model=MODEL, version=1)["envelopes"] == ()


@pytest.mark.parametrize("observed", [10**400, -(10**400)], ids=["large", "small"])
def test_a_number_that_cannot_be_read_back_is_no_evidence(gated, observed):
    """It would let no decision of the whole workspace be replayed."""
    gated.add_versions(1)
    binding = gated.bind(1, trust=Trust.ATTESTED)
    report = make_report("metrics", f"models:/{MODEL}/1")
    statement = make_statement(report, binding)
    statement["predicate"]["report"]["checks"][0]["observed"] = observed
    with pytest.raises(RefusedError, match="too large"):
        gated.ask("evidence/add", model=MODEL, version=1, envelopes=[seal(gated.key, statement)])


@pytest.mark.parametrize("where", ["envelope", "signature"])
def test_what_nobody_signed_does_not_travel_with_evidence(gated, where):
    gated.add_versions(1)
    envelope = gated.sign(gated.bind(1))
    (envelope if where == "envelope" else envelope["signatures"][0])["note"] = "verdict: passed"
    with pytest.raises(RefusedError, match="nobody signed"):
        gated.ask("evidence/add", model=MODEL, version=1, envelopes=[envelope])


@on_each_database
@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("history", {"model": "a\0b"}),
        ("history", {"model": "a" * 257}),
        ("replay", {"model": "a\0b"}),
        ("evidence/show", {"id": 2**63}),
        ("audit/export", {"after": 2**63}),
        ("promote", {"model": MODEL, "version": 2**63, "to": "Production"}),
        ("approve", {"model": MODEL, "version": 1, "to": "Production", "reason": "x" * 10_001}),
    ],
)
def test_what_no_database_takes_is_the_mistake_of_who_asks(gated, operation, asked):
    with pytest.raises(RequestError):
        gated.ask(operation, **asked)


def test_a_version_beyond_every_number_is_the_mistake_of_who_asks(gated):
    gated.add_versions(1)
    with pytest.raises(MlflowException) as refused:
        gated.promote(10**30)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("name", ['a"b', "a'b"])
def test_a_model_with_a_quote_in_its_name_has_a_status(gated, name):
    gated.client.create_registered_model(name)
    gated.add_version(name)
    assert [v["version"] for v in gated.ask("status", model=name)["versions"]] == [1]
