"""Promote, force and stages of the policy's own, as the registry answers them."""

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException

from mlflow_ext.errors import RequestError, UnknownNameError
from mlflow_ext.records import Kind
from mlflow_ext.registry.tags import STAGE

GATED = {"alias": "champion", "gates": [{"gate": "metrics"}]}
LADDER = {
    "shadow": {"alias": "shadow"},
    "canary": {"alias": "canary", "comes_from": ["shadow"], "gates": [{"gate": "load"}]},
    "Production": {"alias": "champion", "comes_from": ["canary"]},
}


@pytest.fixture
def move(gated):
    """Ask for a move and return the answer."""

    def ask(version, to="Production", operation="promote", **more):
        asked = {"model": MODEL, "version": version, "to": to, "reason": "better", **more}
        return gated.ask(operation, **asked)

    return ask


def unmet(answer):
    return {need["name"]: need for need in answer["decision"]["requirements"] if not need["is_met"]}


def mark(shop, version):
    """The tag by which MLflow's UI shows a stage that MLflow does not have."""
    return shop.client.get_model_version(MODEL, str(version)).tags.get(STAGE)


@on_each_database
def test_a_promotion_says_what_moved_and_what_it_replaced(gated, move):
    gated.add_versions(2)
    gated.judge(1)
    gated.judge(2)
    assert move(1)["transition"]["replaced"] is None
    answer = move(2, "production")
    assert (answer["policy"], answer["message"]) == ("evidence", "")
    assert answer["decision"]["is_allowed"]
    told = {"action": "promote", "from_stage": "None", "to_stage": "Production", "replaced": 1}
    said = {"actor": "ann", "reason": "better", "client": "test", "gates": {"metrics": "passed"}}
    assert (told | said).items() <= answer["transition"].items()
    assert gated.state() == ({1: "Archived", 2: "Production"}, {"champion": 2})


def test_a_refusal_is_a_document_with_each_reason_and_its_fix(gated, move):
    gated.add_versions(1)
    answer = move(1)
    assert (answer["decision"]["is_allowed"], answer["transition"]) == (False, None)
    needed = unmet(answer)["at least 1 passed gate"]
    assert (needed["found"], needed["fix"]) == ("no report", "mlflow-ext gate run delay 1")
    assert answer["message"].splitlines() == [
        "Policy 'evidence' refuses to move version 1 of 'delay' to Production:",
        "- at least 1 passed gate: no report. To mend it: mlflow-ext gate run delay 1",
    ]
    [line] = gated.lines(Kind.REFUSAL)
    assert (line.actor, line.body["request"]["reason"]) == ("ann", "better")
    assert gated.state() == ({1: "None"}, {})


def test_nobody_forces_without_saying_why(gated, move):
    gated.add_versions(1)
    for words in ({"reason": ""}, {"reason": "", "dry_run": True}):
        with pytest.raises(RequestError, match="reason"):
            move(1, operation="force", **words)
    with pytest.raises(RequestError, match="reason"):
        gated.ask("force", model=MODEL, version=1, to="Production")
    assert move(1, reason="")["decision"]["is_allowed"] is False, "a promotion may do without"


@pytest.mark.parametrize("is_judged", [True, False])
@pytest.mark.parametrize("operation", ["promote", "force"])
def test_a_dry_run_decides_and_does_nothing(gated, move, operation, is_judged):
    gated.add_versions(1)
    if is_judged:
        gated.judge(1)
    before = gated.lines()
    answer = move(1, operation=operation, dry_run=True)
    assert answer["decision"]["is_allowed"] is (is_judged and operation == "promote")
    assert answer["transition"] is None
    assert gated.lines() == before
    assert gated.state() == ({1: "None"}, {})


def test_a_version_that_is_there_already_stays_without_a_line(gated, move):
    gated.add_versions(1)
    gated.judge(1)
    move(1)
    before = gated.lines()
    answer = move(1)
    assert (answer["decision"]["is_allowed"], answer["transition"]) == (True, None)
    assert gated.lines() == before


@pytest.mark.parametrize("operation", ["promote", "force"])
def test_a_stage_that_nobody_knows_is_told_with_the_nearest(gated, move, operation):
    gated.add_versions(1)
    with pytest.raises(UnknownNameError) as error:
        move(1, "Prodction", operation)
    assert "unknown stage 'Prodction' in policy 'evidence'" in error.value.found
    assert error.value.expected == "one of Archived, None, Production, Staging"
    assert error.value.fix == "write 'Production' instead of 'Prodction'"


@pytest.mark.parametrize(("model", "version"), [(MODEL, 9), ("nobody", 1)])
def test_what_is_not_there_is_missing_as_in_mlflow(gated, model, version):
    gated.add_versions(1)
    with pytest.raises(MlflowException) as error:
        gated.ask("promote", model=model, version=version, to="Production", reason="x")
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@on_each_database
def test_a_stage_of_the_policys_own_is_an_alias_and_a_tag_that_move_on(gated, move):
    gated.add_versions(1)
    gated.govern(stages=LADDER)
    assert move(1, "shadow")["transition"]["to_stage"] == "shadow"
    assert (gated.state(), mark(gated, 1)) == (({1: "None"}, {"shadow": 1}), "shadow")

    assert unmet(move(1, "canary"))["gate load"]["found"] == "no report"
    gated.judge(1, gate="load")
    answer = move(1, "canary")["transition"]
    assert (answer["from_stage"], answer["to_stage"]) == ("shadow", "canary")
    assert (gated.state(), mark(gated, 1)) == (({1: "None"}, {"canary": 1}), "canary")

    assert move(1)["transition"]["from_stage"] == "canary"
    assert (gated.state(), mark(gated, 1)) == (({1: "Production"}, {"champion": 1}), None)


def test_a_stage_that_a_version_may_not_come_from_is_told_with_the_way_in(gated, move):
    gated.add_versions(1)
    gated.govern(stages=LADDER)
    assert unmet(move(1))["stage canary"] == {
        "name": "stage canary",
        "found": "version 1 is in stage None",
        "fix": "mlflow-ext promote delay 1 --to canary --reason '...'",
        "is_met": False,
    }


def test_what_is_replaced_in_such_a_stage_loses_alias_and_tag(gated, move):
    gated.add_versions(2)
    gated.govern(stages=LADDER)
    move(1, "shadow")
    assert move(2, "shadow")["transition"]["replaced"] == 1
    assert gated.state() == ({1: "None", 2: "None"}, {"shadow": 2})
    assert (mark(gated, 1), mark(gated, 2)) == (None, "shadow")
    archived = gated.lines(Kind.TRANSITION)[-1].body["transition"]
    assert (archived["version"], archived["from_stage"], archived["to_stage"]) == (
        1,
        "shadow",
        "None",
    )


def test_archiving_ends_such_a_stage(gated, move):
    gated.add_versions(1)
    gated.govern(stages=LADDER)
    move(1, "shadow")
    assert move(1, "archived")["transition"]["action"] == "archive"
    assert (gated.state(), mark(gated, 1)) == (({1: "Archived"}, {}), None)


def test_the_alias_of_a_free_stage_is_deleted_with_its_tag(gated, move):
    gated.add_versions(1)
    gated.govern(stages=LADDER)
    move(1, "shadow")
    gated.client.delete_registered_model_alias(MODEL, "shadow")
    assert (gated.state(), mark(gated, 1)) == (({1: "None"}, {}), None)


def test_the_alias_of_a_stage_that_asks_for_something_stays(gated, move):
    gated.add_versions(1)
    gated.govern(stages={"canary": {"alias": "canary", "gates": [{"gate": "load"}]}})
    gated.judge(1, gate="load")
    move(1, "canary")
    with pytest.raises(MlflowException, match="goes with stage canary, which version 1 holds"):
        gated.client.delete_registered_model_alias(MODEL, "canary")
    assert (gated.state()[1], mark(gated, 1)) == ({"canary": 1}, "canary")


def test_setting_the_alias_in_mlflow_enters_the_stage(gated):
    gated.add_versions(1)
    gated.govern(stages=LADDER)
    gated.client.set_registered_model_alias(MODEL, "shadow", "1")
    assert mark(gated, 1) == "shadow"
    assert gated.lines(Kind.TRANSITION)[-1].stage == "shadow"


def test_a_stage_that_is_shared_keeps_who_was_there(gated, move):
    gated.add_versions(2)
    gated.govern(stages={"Production": {"alias": "champion", "is_exclusive": False}})
    move(1)
    assert move(2)["transition"]["replaced"] is None
    assert gated.state() == ({1: "Production", 2: "Production"}, {"champion": 2})


@on_each_database
def test_force_is_for_its_groups_and_names_what_it_went_past(gated):
    gated.add_versions(1)
    staged = GATED | {"approvals": {"count": 2}, "force": {"groups": ["oncall"]}}
    gated.govern(stages={"Production": staged}, groups={"oncall": ["olga"]})
    asked = {"model": MODEL, "version": 1, "to": "Production", "reason": "outage"}

    answer = gated.ask("force", **asked)
    assert answer["transition"] is None
    assert list(unmet(answer)) == ["force by oncall"], "what it would go past is no obstacle"
    assert unmet(answer)["force by oncall"]["found"] == "ann is not among them"
    assert gated.state() == ({1: "None"}, {})

    answer = gated.ask("force", "olga", is_claimed=False, **asked)
    assert (answer["transition"]["action"], answer["transition"]["actor"]) == ("force", "olga")
    assert not answer["transition"]["is_claimed"]
    names = [need["name"] for need in answer["decision"]["requirements"]]
    assert "forced past: gate metrics" in names
    assert "forced past: 2 approvals, not of an author" in names
    line = gated.lines(Kind.TRANSITION)[-1]
    assert (line.actor, line.is_claimed, line.body["request"]["action"]) == ("olga", False, "force")
    recorded = [need["name"] for need in line.body["decision"]["requirements"]]
    assert recorded == names
    assert gated.state() == ({1: "Production"}, {"champion": 1})


def test_nobody_may_force_where_the_policy_names_nobody(gated, move):
    gated.add_versions(1)
    answer = move(1, operation="force")
    assert "force by nobody" in unmet(answer)
    assert [step["action"] for step in gated.ask("history", model=MODEL)["transitions"]] == [
        "refuse"
    ]


def test_a_version_must_have_been_long_enough_where_it_is(gated, move):
    gated.add_versions(1)
    timed = {"alias": "champion", "min_time": "1h"}
    gated.govern(stages={"Staging": {"alias": "challenger"}, "Production": timed})
    needed = unmet(move(1))["at least 1h in stage None"]
    assert needed["found"].startswith("since ")
    assert "mlflow-ext promote delay 1 --to Production --reason '...'  # from " in needed["fix"]

    two_hours = "UPDATE model_versions SET creation_time = creation_time - 7200000"
    assert gated.execute(two_hours) == 1
    move(1, "Staging")
    assert list(unmet(move(1))) == ["at least 1h in stage Staging"]
    back = gated.client.transition_model_version_stage(MODEL, "1", "None")
    assert back.current_stage == "None"
    assert list(unmet(move(1))) == ["at least 1h in stage None"], "it came back only now"


def test_the_time_since_a_version_was_made_counts(gated, move):
    gated.add_versions(1)
    gated.govern(stages={"Production": {"alias": "champion", "min_time": "1h"}})
    gated.execute("UPDATE model_versions SET creation_time = creation_time - 7200000")
    assert move(1)["transition"]["to_stage"] == "Production"


def test_nothing_enters_during_a_freeze(gated, move):
    gated.add_versions(1)
    always = {"starts": "* * * * *", "lasts": "1h", "reason": "year end"}
    gated.govern(stages={"Production": {"alias": "champion", "freeze": [always]}})
    [needed] = unmet(move(1)).values()
    assert needed["name"] == "no freeze (* * * * * UTC for 1h)"
    assert needed["found"].endswith(": year end")


def test_a_stage_at_rest_archives_nobody(gated, move):
    gated.add_versions(2)
    gated.govern(stages={"None": {"alias": "parked"}, "Production": {"alias": "champion"}})
    gated.client.set_registered_model_alias(MODEL, "free", "1")
    assert move(2)["transition"]["to_stage"] == "Production"
    assert move(2, "None")["transition"]["replaced"] is None
    assert gated.state() == ({1: "None", 2: "None"}, {"free": 1, "parked": 2})
