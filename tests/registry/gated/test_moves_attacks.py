"""Ways to a stage, an alias or a file past what the policy means; each is closed."""

from datetime import timedelta

import mlflow
import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException

from mlflow_ext.errors import RegistryStateError
from mlflow_ext.records import Kind, Verdict
from mlflow_ext.registry.gated import moves
from mlflow_ext.registry.signing import load_key

DAY_MS = timedelta(days=1) // timedelta(milliseconds=1)
ASKING = {"alias": "champion", "min_passed": 1}
SHARED = ASKING | {"is_exclusive": False}
PATIENT = {"alias": "champion", "comes_from": ["Staging"], "min_time": "24h"}


@pytest.fixture
def old(gated):
    """One version, made two days ago."""
    gated.add_versions(1)
    gated.execute(f"UPDATE model_versions SET creation_time = creation_time - {2 * DAY_MS}")
    return gated


@pytest.fixture
def shared(gated):
    """Two judged versions in one Production, of which the second has the alias."""
    gated.add_versions(2)
    gated.govern(stages={"Production": SHARED})
    for version in (1, 2):
        gated.judge(version)
        gated.promote(version)
    return gated


def unmet(shop, version=1, model=MODEL):
    """What stands in the way of a version to Production, by name."""
    asked = {"model": model, "version": version, "to": "Production", "reason": "x"}
    needed = shop.ask("promote", **asked)["decision"]["requirements"]
    return {need["name"]: need for need in needed if not need["is_met"]}


def told(shop, model=MODEL):
    """Every move that the ledger tells of: what, which version, from where, to where."""
    lines = [line.body["transition"] for line in shop.lines(Kind.TRANSITION, model=model)]
    return [(m["action"], m["version"], m["from_stage"], m["to_stage"]) for m in lines]


def past_the_store(shop):
    """A client on the database's own address, where no policy is asked."""
    return mlflow.MlflowClient(tracking_uri=shop.uri, registry_uri=shop.uri)


# --- the key of the evidence ---------------------------------------------------------------------


@pytest.mark.parametrize("date", ["revoked", "expires"])
def test_a_click_does_not_bring_back_what_a_key_no_longer_vouches_for(gated, date):
    gated.add_versions(2)
    lost, held = ({"public_key": key.public_key} for key in (gated.key, other(gated)))
    gated.govern(stages={"Production": ASKING}, keys=[lost, held])
    gated.judge(1)
    gated.promote(1)
    gated.add_evidence(2, gated.sign(gated.bind(2), key=other(gated)))
    gated.promote(2)
    gated.govern(stages={"Production": ASKING}, keys=[lost | {date: "2020-01-01"}, held])
    for put in (gated.promote, put_alias(gated)):
        with pytest.raises(MlflowException, match="refuses to move version 1"):
            put(1)
    assert gated.ask("rollback", model=MODEL, reason="outage")["version"] == 1
    gated.promote(2)
    with pytest.raises(MlflowException, match="refuses to move version 1"):
        gated.promote(1)


def test_a_click_brings_back_what_other_evidence_vouches_for(gated):
    gated.add_versions(2)
    lost, held = ({"public_key": key.public_key} for key in (gated.key, other(gated)))
    gated.govern(stages={"Production": ASKING}, keys=[lost, held])
    for version in (1, 2):
        gated.judge(version)
        gated.add_evidence(version, gated.sign(gated.bind(version), key=other(gated)))
        gated.promote(version)
    gated.govern(stages={"Production": ASKING}, keys=[lost | {"revoked": "2020-01-01"}, held])
    gated.promote(1)
    assert told(gated)[-2][0] == "promote", "it met every rule"
    assert gated.state()[0] == {1: "Production", 2: "Archived"}


def test_a_click_has_a_memory_longer_than_a_rollback(gated):
    gated.add_versions(2)
    for version in (1, 2):
        gated.judge(version)
        gated.promote(version)
    gated.judge(1, verdict=Verdict.FAILED)
    gated.ask("rollback", model=MODEL, reason="outage")
    gated.promote(2)
    with pytest.raises(MlflowException, match="no failed gate"):
        gated.promote(1)


def other(shop):
    return load_key(shop.folder / "other.pem")


def put_alias(shop, alias="champion"):
    return lambda version: shop.client.set_registered_model_alias(MODEL, alias, str(version))


# --- the time in a stage -------------------------------------------------------------------------


@on_each_database
def test_the_time_in_a_free_stage_counts_from_when_it_began(old):
    several = PATIENT | {"comes_from": ["Staging", "canary"]}
    old.govern(stages={"canary": {"alias": "canary"}, "Production": several})
    old.promote(1, stage="Staging")
    assert list(unmet(old)) == ["at least 24h in stage Staging"]
    assert told(old) == [("move", 1, "None", "Staging")]


def test_leaving_a_free_stage_and_coming_back_begins_again(old):
    old.govern(stages={"Production": PATIENT})
    old.promote(1, stage="Staging")
    old.execute(f"UPDATE model_versions SET creation_time = creation_time - {2 * DAY_MS}")
    for stage in ("Archived", "None", "Staging"):
        old.promote(1, stage=stage)
    assert [move[0] for move in told(old)] == ["move", "archive", "move", "move"]
    assert list(unmet(old)) == ["at least 24h in stage Staging"]


def test_a_free_stage_that_is_cleared_is_recorded_for_each_version(gated):
    gated.add_versions(2)
    gated.govern(stages={"Production": ASKING})
    gated.promote(1, stage="Staging")
    move = gated.client.transition_model_version_stage
    move(MODEL, "2", "Staging", archive_existing_versions=True)
    assert told(gated)[1:] == [
        ("move", 2, "None", "Staging"),
        ("archive", 1, "Staging", "Archived"),
    ]
    assert gated.state()[0] == {1: "Archived", 2: "Staging"}
    move(MODEL, "2", "Staging")
    assert len(told(gated)) == 3, "nothing moved"
    assert gated.breaks() == []
    assert gated.ask("replay")["different"] == ()


def test_a_free_visit_is_no_way_back_once_the_stage_asks_for_something(gated):
    gated.add_versions(2)
    gated.govern(stages={"canary": {"alias": "canary"}})
    gated.promote(1)
    gated.govern(stages={"Production": ASKING})
    gated.judge(2)
    gated.promote(2)
    with pytest.raises(MlflowException, match="at least 1 passed gate"):
        gated.promote(1)
    assert gated.ask("rollback", model=MODEL, reason="outage")["version"] == 1


@pytest.mark.parametrize("has_been_there", [True, False])
def test_a_detour_by_another_name_does_not_age_a_version(old, has_been_there):
    old.govern(stages={"Staging": {"alias": "challenger"}, "Production": PATIENT})
    if has_been_there:
        old.promote(1, stage="Staging")
    old.client.rename_registered_model(MODEL, "detour")
    old.promote(1, "detour", "Archived")
    old.promote(1, "detour", "Staging")
    old.client.delete_registered_model_alias("detour", "challenger")
    old.client.rename_registered_model("detour", MODEL)
    assert list(unmet(old)) == ["at least 24h in stage Staging"]
    assert told(old)[-1] == ("move", 1, "Staging", "Staging")


def test_a_stage_that_nobody_recorded_has_no_age_and_says_how_it_gets_one(old):
    old.govern(stages={"Production": PATIENT})
    past_the_store(old).transition_model_version_stage(MODEL, "1", "Staging")
    [needed] = unmet(old).values()
    assert needed["found"] == "since nobody knows when"
    assert needed["fix"] == (
        "mlflow-ext promote delay 1 --to None --reason '...'  # and back to Staging, from then on "
        "it counts"
    )
    for stage in ("None", "Staging"):
        old.promote(1, stage=stage)
    assert "since nobody" not in unmet(old)["at least 24h in stage Staging"]["found"]


def test_a_stage_that_ends_with_its_alias_is_recorded(gated):
    gated.add_versions(1)
    gated.govern(stages={"canary": {"alias": "canary"}, "Production": PATIENT})
    gated.client.set_registered_model_alias(MODEL, "canary", "1")
    gated.client.delete_registered_model_alias(MODEL, "canary")
    assert told(gated)[-1] == ("move", 1, "canary", "None")
    assert gated.ask("history", model=MODEL)["transitions"][-1]["reason"] == "alias canary deleted"


# --- the alias of a shared stage -----------------------------------------------------------------


@on_each_database
def test_the_alias_of_a_shared_stage_asks_what_the_stage_asks(shared):
    evidence = shared.lines(Kind.EVIDENCE)[0]
    shared.ask("evidence/revoke", id=evidence.id, reason="wrong data")
    shared.judge(1, verdict=Verdict.FAILED)
    for put in (shared.promote, put_alias(shared)):
        with pytest.raises(MlflowException, match="no failed gate"):
            put(1)
    assert shared.state() == ({1: "Production", 2: "Production"}, {"champion": 2})
    assert len(shared.lines(Kind.REFUSAL)) == 2


@on_each_database
def test_the_alias_of_a_shared_stage_that_is_moved_back_is_a_rollback(shared):
    put_alias(shared)(1)
    assert told(shared)[-2:] == [
        ("rollback", 1, "Production", "Production"),
        ("archive", 2, "Production", "Archived"),
    ]
    assert shared.state() == ({1: "Production", 2: "Archived"}, {"champion": 1})
    lines = len(shared.lines())
    put_alias(shared)(1)
    shared.promote(1)
    assert len(shared.lines()) == lines, "it is there"


def test_the_alias_of_a_shared_stage_is_moved_on_by_its_rules(shared):
    shared.client.set_registered_model_alias(MODEL, "free", "1")
    late = {"comes_from": ["Staging"], "min_time": "30d", "gates": [{"gate": "fairness"}]}
    past_the_store(shared).set_registered_model_alias(MODEL, "champion", "1")
    shared.govern(stages={"Production": SHARED | late})
    assert list(unmet(shared, 2)) == ["gate fairness"], "it has come from somewhere before"
    shared.judge(2, gate="fairness")
    put_alias(shared)(2)
    assert told(shared)[-1] == ("promote", 2, "Production", "Production")
    assert shared.state() == ({1: "Production", 2: "Production"}, {"champion": 2, "free": 1})


@pytest.mark.parametrize("alias", ["champion", None])
def test_a_rollback_leaves_nothing_else_in_a_shared_stage(gated, alias):
    gated.add_versions(2)
    gated.govern(stages={"Production": SHARED | {"alias": alias}})
    for version in (1, 2):
        gated.judge(version)
        gated.promote(version)
    undone = gated.ask("rollback", model=MODEL, reason="worse")
    assert (undone["version"], undone["replaced"]) == (1, 2)
    assert gated.state() == ({1: "Production", 2: "Archived"}, {alias: 1} if alias else {})
    assert gated.ask("rollback", model=MODEL, reason="worse") == undone
    assert gated.ask("replay")["different"] == ()


def test_a_version_that_holds_a_stage_from_before_gets_no_alias_for_it(gated):
    gated.add_versions(2)
    gated.govern(stages={})
    for version in (1, 2):
        gated.promote(version)
    gated.govern(stages={"Production": ASKING})
    with pytest.raises(MlflowException, match="at least 1 passed gate"):
        put_alias(gated)(1)
    gated.judge(1)
    put_alias(gated)(1)
    assert gated.state() == ({1: "Production", 2: "Archived"}, {"champion": 1})


@on_each_database
def test_a_stage_whose_alias_gets_another_name_leaves_the_old_one_nowhere(gated):
    gated.add_versions(2)
    for version in (1, 2):
        gated.judge(version)
    gated.promote(1)
    gated.govern(stages={"Production": ASKING | {"alias": "live"}})
    assert gated.state()[1] == {"live": 1}
    assert gated.lines(Kind.POLICY)[-1].body["aliases"] == {"live": 1}
    assert problems(gated) == ()
    gated.promote(2)
    assert gated.state() == ({1: "Archived", 2: "Production"}, {"live": 2})


def test_two_stages_may_change_aliases(gated):
    gated.add_versions(2)
    gated.judge(1)
    gated.promote(1)
    gated.govern(stages={"Production": ASKING, "canary": {"alias": "canary"}})
    put_alias(gated, "canary")(2)
    gated.govern(
        stages={"Production": ASKING | {"alias": "canary"}, "canary": {"alias": "champion"}}
    )
    assert gated.state()[1] == {"canary": 1, "champion": 2}
    assert problems(gated) == ()


def test_a_policy_leaves_an_alias_alone_that_it_does_not_rename(gated):
    gated.add_versions(1)
    gated.judge(1)
    gated.promote(1)
    gated.client.set_registered_model_alias(MODEL, "free", "1")
    for stages in ({"Production": ASKING}, {"Production": {"min_passed": 1}}, {}):
        gated.govern(stages=stages)
        assert gated.state()[1] == {"champion": 1, "free": 1}
        assert "aliases" not in gated.lines(Kind.POLICY)[-1].body


# --- past the store ------------------------------------------------------------------------------


def test_a_stage_that_was_taken_past_the_store_is_no_way_back_by_a_click(gated):
    gated.add_versions(3)
    gated.judge(1)
    gated.promote(1)
    plain = past_the_store(gated)
    plain.transition_model_version_stage(MODEL, "2", "Production", archive_existing_versions=True)
    plain.set_registered_model_alias(MODEL, "champion", "2")
    gated.promote(2, stage="Archived")
    gated.judge(3)
    gated.promote(3)
    with pytest.raises(MlflowException, match="at least 1 passed gate"):
        gated.promote(2)
    assert gated.state()[0] == {1: "Archived", 2: "Archived", 3: "Production"}


def problems(shop):
    return shop.ask("status", model=MODEL)["problems"]


@on_each_database
def test_status_names_a_stage_and_an_alias_that_no_line_tells_of(gated):
    gated.add_versions(2)
    gated.judge(1)
    gated.promote(1)
    assert problems(gated) == ()
    plain = past_the_store(gated)
    plain.set_registered_model_alias(MODEL, "champion", "2")
    assert problems(gated) == (
        "alias 'champion' of stage Production is on version 2, and no line of the ledger says so",
    )
    plain.transition_model_version_stage(MODEL, "2", "Production", archive_existing_versions=True)
    assert problems(gated) == ("version 2 is in Production, and no line of the ledger says so",)


def test_status_names_an_alias_that_was_moved_within_its_stage_past_the_store(shared):
    assert problems(shared) == ()
    past_the_store(shared).set_registered_model_alias(MODEL, "champion", "1")
    assert problems(shared) == (
        "alias 'champion' of stage Production is on version 1, and no line of the ledger says so",
    )


def test_status_does_not_take_the_line_of_a_namesake(gated):
    gated.add_versions(1)
    gated.promote(1, stage="Staging")
    gated.client.delete_registered_model(MODEL)
    gated.add_versions(1)
    past_the_store(gated).transition_model_version_stage(MODEL, "1", "Staging")
    assert problems(gated) == ("version 1 is in Staging, and no line of the ledger says so",)


def test_status_knows_where_a_renamed_model_stands(gated):
    gated.add_versions(1)
    gated.promote(1, stage="Staging")
    gated.client.rename_registered_model(MODEL, "later")
    assert gated.ask("status", model="later")["problems"] == ()
    moved = gated.ask("history", model="later")["transitions"][-1]
    assert (moved["to_stage"], moved["reason"]) == ("Staging", f"renamed from '{MODEL}'")


# --- two at one moment ---------------------------------------------------------------------------


@on_each_database
def test_a_rollback_undoes_no_version_that_came_while_it_looked(gated, monkeypatch):
    gated.add_versions(3)
    for version in (1, 2, 3):
        gated.judge(version)
    for version in (1, 2):
        gated.promote(version)
    gated.store._locations.clear()
    read = moves._read_files

    def read_while_another_promotes(location):
        if location:
            monkeypatch.setattr(moves, "_read_files", read)
            gated.ask("promote", "bob", model=MODEL, version=3, to="Production", reason="fix")
        return read(location)

    monkeypatch.setattr(moves, "_read_files", read_while_another_promotes)
    with pytest.raises(RegistryStateError, match="another version went to Production") as error:
        gated.ask("rollback", "alice", model=MODEL, reason="version 2 is bad")
    assert error.value.fix.startswith("mlflow-ext status delay")
    assert gated.state()[0] == {1: "Archived", 2: "Archived", 3: "Production"}
