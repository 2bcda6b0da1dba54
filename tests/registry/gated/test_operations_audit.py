"""Looking back: the story, its chain, the decisions taken again, and what might have been."""

import json
from dataclasses import replace

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException

from mlflow_ext.records import Entry, Kind
from mlflow_ext.registry.chain import canonical, entry_hash

STRICT = {"alias": "champion", "gates": [{"gate": "metrics"}, {"gate": "fairness"}]}
APPROVED = {
    "alias": "champion",
    "min_passed": 1,
    "approvals": {"groups": ["risk"]},
    "force": {"groups": ["risk"]},
}


def move(shop, version, operation="promote", actor="ann", to="Production"):
    asked = {"model": MODEL, "version": version, "to": to, "reason": operation}
    return shop.ask(operation, actor, **asked)


@pytest.fixture
def shop(gated):
    """A long story about three versions: every kind of decision that there is."""
    gated.add_versions(3)
    move(gated, 1)
    lines = [gated.judge(version) for version in (1, 2)]
    move(gated, 1)
    gated.promote(2)
    gated.ask("rollback", model=MODEL, reason="worse")
    gated.ask("evidence/revoke", id=lines[1].id, reason="wrong data")
    stages = {"Production": APPROVED, "shadow": {"alias": "shadow"}}
    gated.govern("olga", stages=stages, groups={"risk": ["rita"]})
    move(gated, 3, "request")
    move(gated, 3, to="shadow")
    move(gated, 3, "force")
    move(gated, 3, "force", "rita")
    gated.judge(2, gate="again")
    move(gated, 2, "reject", "rita")
    gated.client.set_registered_model_alias(MODEL, "champion", "1")
    gated.add_versions(1)
    gated.judge(4)
    move(gated, 4, "reject", "rita")
    move(gated, 4)
    move(gated, 4, "approve", "rita")
    move(gated, 4)
    gated.client.delete_model_version(MODEL, "2")
    return gated


def retell(shop, seq, change):
    """Edit a line as whoever owns the database and can hash: the chain holds afterwards."""
    previous = ""
    for told in shop.ask("audit/export", limit=5_000)["entries"]:
        body = json.loads(json.dumps(told["body"]))
        if told["seq"] == seq:
            change(body)
        entry = replace(Entry(**told), body=body, previous=previous)
        previous = entry_hash(entry)
        shop.execute(
            "UPDATE mlflow_ext_ledger SET body = :b, previous = :p, hash = :h WHERE seq = :seq",
            b=canonical(body),
            p=entry.previous,
            h=previous,
            seq=entry.seq,
        )
    shop.execute("UPDATE mlflow_ext_heads SET hash = :h", h=previous)


def grant(body):
    for need in body["decision"]["requirements"]:
        need.update(is_met=True, fix="")


def test_history_tells_what_happened_and_what_was_refused(shop):
    told = shop.ask("history", model=MODEL)
    assert told["model"] == MODEL
    steps = [
        (s["action"], s["version"], s["from_stage"], s["to_stage"]) for s in told["transitions"]
    ]
    assert steps == [
        ("refuse", 1, "None", "Production"),
        ("promote", 1, "None", "Production"),
        ("promote", 2, "None", "Production"),
        ("archive", 1, "Production", "Archived"),
        ("rollback", 1, "Archived", "Production"),
        ("archive", 2, "Production", "Archived"),
        ("promote", 3, "None", "shadow"),
        ("refuse", 3, "shadow", "Production"),
        ("force", 3, "shadow", "Production"),
        ("archive", 1, "Production", "Archived"),
        ("rollback", 1, "Archived", "Production"),
        ("archive", 3, "Production", "Archived"),
        ("refuse", 4, "None", "Production"),
        ("promote", 4, "None", "Production"),
        ("archive", 1, "Production", "Archived"),
    ]
    first, forced = told["transitions"][0], told["transitions"][8]
    assert first["reason"] == "promote [unmet: at least 1 passed gate]"
    assert (forced["actor"], forced["reason"], forced["is_claimed"]) == ("rita", "force", True)
    shop.client.create_registered_model("other")
    assert shop.ask("history", model="other") == {"model": "other", "transitions": []}


@on_each_database
def test_the_whole_story_verifies_and_replays_equal(shop):
    count = len(shop.lines())
    told = shop.ask("audit/verify")
    assert (told["rows"], told["problems"]) == (count, [])
    assert told["head"] == shop.ask("audit/head")
    assert told["head"]["seq"] == count
    assert shop.ask("replay") == {"replayed": 10, "different": ()}
    assert shop.ask("replay", model=MODEL) == {"replayed": 10, "different": ()}
    shop.client.create_registered_model("other")
    assert shop.ask("replay", model="other") == {"replayed": 0, "different": ()}


def test_the_ledger_is_exported_page_by_page_and_whole(shop):
    lines, pages, after = shop.lines(), [], 0
    while after is not None:
        page = shop.ask("audit/export", after=after, limit=4)
        pages.append(page["entries"])
        after = page["next"]
    assert [entry["seq"] for page in pages for entry in page] == [line.seq for line in lines]
    assert all(len(page) == 4 for page in pages[:-1])
    told = [Entry(**entry) for page in pages for entry in page]
    assert told == lines
    assert [entry_hash(entry) for entry in told] == [entry.hash for entry in told]


def test_a_last_page_that_is_full_is_followed_by_an_empty_one(gated):
    gated.add_versions(2)
    assert gated.ask("audit/export", limit=2)["next"] == 2
    assert gated.ask("audit/export", after=2, limit=2) == {"entries": [], "next": None}
    assert len(gated.ask("audit/export")["entries"]) == 2


def test_an_empty_ledger_has_an_empty_head_and_holds(gated):
    head = {"workspace": "default", "seq": 0, "hash": ""}
    assert gated.ask("audit/head") == head
    assert gated.ask("audit/verify") == {"rows": 0, "head": head, "problems": []}
    assert gated.ask("replay") == {"replayed": 0, "different": ()}


def test_a_careless_edit_is_named_by_the_chain_and_still_exported(shop):
    [refusal, *_] = shop.lines(Kind.REFUSAL)
    edit = "UPDATE mlflow_ext_ledger SET actor = 'nobody' WHERE seq = :seq"
    assert shop.execute(edit, seq=refusal.seq) == 1
    [found] = shop.ask("audit/verify")["problems"]
    assert found == {"seq": refusal.seq, "id": refusal.id, "problem": "the line was edited"}
    exported = shop.ask("audit/export", after=refusal.seq - 1, limit=1)["entries"]
    assert [entry["actor"] for entry in exported] == ["nobody"]


@on_each_database
def test_a_decision_that_was_edited_with_all_its_hashes_comes_out_differently(shop):
    [refusal, *_] = shop.lines(Kind.REFUSAL)
    anchored = shop.ask("audit/head")
    retell(shop, refusal.seq, grant)
    assert shop.ask("audit/verify")["problems"] == [], "the chain cannot know"
    [found] = shop.ask("replay")["different"]
    assert (found["seq"], found["version"], found["actor"]) == (refusal.seq, 1, "ann")
    assert found["why"] == ("then: yes", "now: at least 1 passed gate: no report")
    after = shop.ask("audit/head")
    assert (after["seq"], after["hash"] == anchored["hash"]) == (anchored["seq"], False)


def forget_a_rejection(body):
    body["dossier"]["votes"].clear()


def invent_evidence(body):
    body["dossier"]["attestations"][0]["id"] = 9_999


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        (Kind.REFUSAL, forget_a_rejection, "was left out"),
        (Kind.TRANSITION, invent_evidence, "evidence 9999 is not in the ledger"),
    ],
)
def test_what_a_decision_is_said_to_rest_on_is_compared_with_the_lines(shop, kind, change, why):
    last = [line for line in shop.lines(kind) if line.version == 4][-1]
    retell(shop, last.seq, change)
    assert shop.ask("audit/verify")["problems"] == []
    [found] = shop.ask("replay")["different"]
    assert found["seq"] == last.seq
    assert any(why in line for line in found["why"])


def test_whatif_tells_what_another_policy_would_have_blocked_and_released(shop):
    before = shop.lines()
    strict = shop.ask("whatif", policy={"name": "strict", "stages": {"Production": STRICT}})
    assert (strict["decisions"], strict["would_release"]) == (10, ())
    blocked = [(each["version"], each["actor"]) for each in strict["would_block"]]
    assert [version for version, _ in blocked] == [1, 2, 3, 4], "a rollback is never blocked"
    assert strict["would_block"][0]["why"] == ("gate fairness: no report",)

    lax = shop.ask("whatif", policy={"name": "lax"}, model=MODEL)
    assert (lax["decisions"], lax["would_block"]) == (10, ())
    assert [each["version"] for each in lax["would_release"]] == [1, 3, 4]
    assert all(not each["was_allowed"] for each in lax["would_release"])
    shop.client.create_registered_model("other")
    assert shop.ask("whatif", policy={"name": "lax"}, model="other")["decisions"] == 0
    assert shop.lines() == before, "nothing of it happens"


@pytest.mark.parametrize("operation", ["history", "replay", "whatif"])
def test_a_model_that_never_was_has_no_story(gated, operation):
    more = {"policy": {"name": "open"}} if operation == "whatif" else {}
    with pytest.raises(MlflowException, match="name=dealy not found"):
        gated.ask(operation, model="dealy", **more)
    gated.client.create_registered_model("dealy")
    assert gated.ask(operation, model="dealy", **more), "there is nothing to tell yet"


def test_the_story_of_a_model_outlives_it(gated):
    gated.add_versions(1)
    gated.judge(1)
    gated.promote(1)
    gated.promote(1, stage="Archived")
    gated.client.delete_registered_model(MODEL)
    assert len(gated.ask("history", model=MODEL)["transitions"]) == 2
    assert gated.ask("replay", model=MODEL)["different"] == ()
