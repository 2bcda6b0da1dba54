"""Request, approve, reject: two people, of whom neither is the author."""

from dataclasses import asdict
from itertools import product

import pytest
from gated_shop import MODEL, on_each_database

from mlflow_ext.errors import RequestError, UnknownNameError
from mlflow_ext.records import Kind

PEOPLE = {"risk": ["ann", "rita", "ray"]}


@pytest.fixture
def shop(gated):
    """Version 1 was judged and requested by ann; one of risk, and no author, must approve."""
    gated.add_versions(1)
    rule = {"alias": "champion", "approvals": {"count": 1, "groups": ["risk"]}}
    gated.govern("olga", stages={"Production": rule}, groups=PEOPLE)
    gated.ask("evidence/add", model=MODEL, version=1, envelopes=[gated.sign(gated.bind(1))])
    return gated


def vote(shop, verb, actor, to="Production", **more):
    asked = {"model": MODEL, "version": 1, "to": to, "reason": f"{verb} it"}
    return shop.ask(verb, actor, **asked, **more)["entry"]


def unmet(shop):
    """Promote; return what was missing."""
    answer = shop.ask("promote", "tom", model=MODEL, version=1, to="Production", reason="go")
    needs = answer["decision"]["requirements"]
    return {need["name"]: need["found"] for need in needs if not need["is_met"]}


APPROVAL = "1 approval of risk, not of an author"


@on_each_database
def test_two_persons_from_the_request_to_production(shop):
    vote(shop, "request", "ann")
    assert unmet(shop) == {APPROVAL: "none"}
    vote(shop, "approve", "ann")
    assert unmet(shop) == {APPROVAL: "ann does not count, as an author of the version"}
    vote(shop, "approve", "mallory")
    assert "mallory" not in unmet(shop)[APPROVAL]
    vote(shop, "reject", "rita")
    assert unmet(shop)["no rejection"] == "rita: reject it"
    vote(shop, "approve", "ray")
    assert unmet(shop) == {"no rejection": "rita: reject it"}
    vote(shop, "approve", "rita")
    assert unmet(shop) == {}
    assert shop.state() == ({1: "Production"}, {"champion": 1})


def test_who_only_requested_it_is_an_author_too(shop):
    vote(shop, "request", "ray")
    vote(shop, "approve", "ray")
    assert unmet(shop) == {APPROVAL: "ray does not count, as an author of the version"}


def test_who_registered_it_is_an_author_too(shop):
    [line] = shop.lines(Kind.REGISTRATION)
    groups = {"risk": [line.actor]}
    rule = {"alias": "champion", "approvals": {"count": 1, "groups": ["risk"]}}
    shop.govern(stages={"Production": rule}, groups=groups)
    vote(shop, "approve", line.actor)
    assert unmet(shop) == {APPROVAL: f"{line.actor} does not count, as an author of the version"}


def test_an_approval_for_one_stage_counts_for_no_other(shop):
    rule = {"alias": "champion", "approvals": {"count": 1, "groups": ["risk"]}}
    stages = {"Production": rule, "Staging": {"alias": "challenger"}}
    shop.govern(stages=stages, groups=PEOPLE)
    vote(shop, "approve", "rita", to="staging")
    assert unmet(shop) == {APPROVAL: "none"}


def test_votes_are_about_this_very_version(shop):
    vote(shop, "approve", "rita")
    shop.client.delete_registered_model(MODEL)
    shop.add_versions(1)
    assert unmet(shop) == {APPROVAL: "none"}


def test_a_vote_says_who_and_whether_that_was_checked(shop):
    kinds = {"request": Kind.REQUEST, "approve": Kind.APPROVAL, "reject": Kind.REJECTION}
    for (verb, kind), is_claimed in product(kinds.items(), (True, False)):
        entry = vote(shop, verb, "rita", "production", is_claimed=is_claimed)
        assert (entry["kind"], entry["stage"]) == (kind, "Production")
        assert (entry["actor"], entry["is_claimed"]) == ("rita", is_claimed)
        assert entry["body"] == {"to_stage": "Production", "reason": f"{verb} it"}
        assert asdict(shop.lines(kind)[-1]) == entry


def test_a_vote_about_a_stage_that_the_policy_leaves_free_is_told(shop):
    with pytest.raises(UnknownNameError, match="unknown stage 'Staging' in policy 'own'"):
        vote(shop, "approve", "rita", to="Staging")
    assert shop.lines(Kind.APPROVAL) == []


def test_a_vote_cannot_be_a_dry_run(shop):
    for verb in ("request", "approve", "reject"):
        with pytest.raises(RequestError, match="dry_run: Unexpected keyword"):
            vote(shop, verb, "rita", dry_run=True)
    assert shop.lines(Kind.REQUEST, Kind.APPROVAL, Kind.REJECTION) == []
