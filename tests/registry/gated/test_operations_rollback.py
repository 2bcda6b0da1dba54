"""Going back: to what was last good, by one command, whenever it is needed."""

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException
from together import together

from mlflow_ext.errors import RefusedError, RegistryStateError
from mlflow_ext.records import Kind, Verdict

ALWAYS = {"starts": "* * * * *", "lasts": "1h"}


@pytest.fixture
def shop(gated):
    """Version 1 was replaced by version 3; version 2 was never in Production."""
    gated.add_versions(3)
    for version in (1, 3):
        gated.judge(version)
        gated.promote(version)
    return gated


def roll_back(shop, reason="worse", actor="ann"):
    return shop.ask("rollback", actor, model=MODEL, reason=reason)


@on_each_database
def test_it_goes_to_what_was_good_and_not_to_the_number_before(shop):
    told = roll_back(shop)
    assert (told["action"], told["version"], told["replaced"]) == ("rollback", 1, 3)
    assert (told["actor"], told["reason"], told["from_stage"]) == ("ann", "worse", "Archived")
    assert shop.state() == ({1: "Production", 2: "None", 3: "Archived"}, {"champion": 1})


@on_each_database
def test_the_same_request_again_is_the_same_rollback(shop):
    first, lines = roll_back(shop), len(shop.lines())
    assert roll_back(shop) == first
    assert len(shop.lines()) == lines
    assert shop.state()[0][1] == "Production"


@pytest.mark.parametrize("again", [{"reason": "still worse"}, {"actor": "bob"}])
def test_another_request_never_goes_forward_to_what_was_bad(shop, again):
    roll_back(shop)
    with pytest.raises(RegistryStateError, match="version 1, and nothing is known before it"):
        roll_back(shop, **again)
    assert shop.state()[0] == {1: "Production", 2: "None", 3: "Archived"}


def test_it_goes_back_step_by_step(shop):
    shop.judge(2)
    shop.promote(2)
    assert roll_back(shop, "first")["version"] == 3
    assert roll_back(shop, "second")["version"] == 1


def test_after_a_rollback_a_new_version_comes_back_to_the_good_one(shop):
    roll_back(shop)
    shop.judge(2)
    shop.promote(2)
    assert roll_back(shop, "again")["version"] == 1


def test_a_version_that_was_deleted_is_passed_over(shop):
    shop.judge(2)
    shop.promote(2)
    shop.client.delete_model_version(MODEL, "3")
    assert roll_back(shop)["version"] == 1


@pytest.mark.parametrize("is_live", [True, False])
def test_without_anything_before_there_is_nothing_to_undo(gated, is_live):
    gated.add_versions(1)
    gated.judge(1)
    if is_live:
        gated.promote(1)
    with pytest.raises(RegistryStateError, match="so there is nothing to undo") as error:
        roll_back(gated)
    assert ("Production holds version 1" if is_live else "no version") in error.value.found
    assert error.value.fix == "mlflow-ext history delay"


def test_a_version_whose_files_changed_is_no_way_back(shop):
    (shop.folder / "files" / "0" / "MLmodel").write_text("others")
    with pytest.raises(RefusedError, match="the files it had there: its files have digest"):
        roll_back(shop)
    assert shop.state() == ({1: "Archived", 2: "None", 3: "Production"}, {"champion": 3})
    last = shop.ask("history", model=MODEL)["transitions"][-1]
    assert (last["action"], last["version"]) == ("refuse", 1)
    assert last["reason"] == "worse [unmet: the files it had there]"


def test_a_version_that_only_has_the_number_of_a_good_one_is_no_way_back(shop):
    shop.client.transition_model_version_stage(MODEL, "3", "Archived")
    shop.client.delete_registered_model(MODEL)
    shop.add_versions(3)
    shop.judge(3)
    shop.promote(3)
    with pytest.raises(RegistryStateError, match="nothing is known before it"):
        roll_back(shop)
    assert shop.state()[0] == {1: "None", 2: "None", 3: "Production"}


@on_each_database
def test_neither_a_freeze_nor_missing_approvals_nor_new_gates_stand_in_the_way(shop):
    strict = {
        "alias": "champion",
        "comes_from": ["Staging"],
        "gates": [{"gate": "fairness"}],
        "approvals": {"count": 3},
        "min_time": "30d",
        "freeze": [ALWAYS],
    }
    shop.govern(stages={"Production": strict})
    refused = shop.ask("promote", model=MODEL, version=2, to="Production", reason="x")
    assert len([n for n in refused["decision"]["requirements"] if not n["is_met"]]) == 5
    assert roll_back(shop)["version"] == 1
    assert shop.state() == ({1: "Production", 2: "None", 3: "Archived"}, {"champion": 1})


def test_an_older_version_moved_in_the_ui_is_a_rollback_by_its_rules(shop):
    shop.govern(stages={"Production": {"alias": "champion", "gates": [{"gate": "fairness"}]}})
    shop.promote(1)
    last = shop.lines(Kind.TRANSITION)[-2].body["transition"]
    assert (last["action"], last["version"], last["replaced"]) == ("rollback", 1, 3)
    assert shop.state() == ({1: "Production", 2: "None", 3: "Archived"}, {"champion": 1})


def revoke(shop):
    number = shop.lines(Kind.EVIDENCE)[0].id
    shop.ask("evidence/revoke", id=number, reason="the holdout leaked into training")


def fail(shop):
    shop.judge(1, verdict=Verdict.FAILED)


def reject(shop):
    shop.ask("reject", "rita", model=MODEL, version=1, to="Production", reason="unfair")


@pytest.mark.parametrize("say", [revoke, fail, reject])
def test_what_was_said_against_an_older_version_stops_a_click_but_no_rollback(shop, say):
    rule = {"alias": "champion", "min_passed": 1, "approvals": {"count": 1}}
    shop.govern(stages={"Production": rule})
    say(shop)
    with pytest.raises(MlflowException, match="refuses to move version 1"):
        shop.promote(1)
    assert roll_back(shop)["version"] == 1


def test_what_was_live_before_the_ledger_began_is_a_way_back(gated, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", "open")
    gated.add_versions(2)
    gated.promote(1)
    monkeypatch.delenv("MLFLOW_EXT_DEFAULT_POLICY")
    gated.judge(2)
    gated.promote(2)
    assert roll_back(gated)["version"] == 1


def test_where_production_is_free_nothing_is_recorded_to_go_back_to(shop):
    shop.govern(stages={"shadow": {"alias": "shadow"}})
    before = shop.state()
    with pytest.raises(RegistryStateError, match="leaves Production free, so nothing is recorded"):
        roll_back(shop)
    assert shop.state() == before


@on_each_database
def test_two_at_one_moment_make_one_rollback(shop):
    errors = together(*[lambda: roll_back(shop)] * 3)
    assert errors == []
    made = [line.body["transition"] for line in shop.lines(Kind.TRANSITION)]
    assert [move["action"] for move in made].count("rollback") == 1
    assert shop.state() == ({1: "Production", 2: "None", 3: "Archived"}, {"champion": 1})
