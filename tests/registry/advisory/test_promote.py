"""Promotion and rollback on a real registry, killed after each of their calls and run again."""

import warnings

import mlflow
import pytest
from registry_shop import make_promotion, make_report

from mlflow_ext.errors import ModelNotFoundError, RegistryStateError, UnknownNameError
from mlflow_ext.records import Action, Verdict, to_json
from mlflow_ext.registry.advisory.history import read_history
from mlflow_ext.registry.advisory.promote import PromotionRequest, promote
from mlflow_ext.registry.advisory.rollback import rollback
from mlflow_ext.registry.advisory.status import read_status

MUTATING = [
    "set_model_version_tag",
    "delete_model_version_tag",
    "transition_model_version_stage",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "update_model_version",
]


class Killed(BaseException):
    """The process died."""


class MortalClient(mlflow.MlflowClient):
    """A real client whose process dies right after its n-th change."""

    def __init__(self, changes_to_live):
        super().__init__()
        self.changes_to_live = changes_to_live

    def age(self):
        self.changes_to_live -= 1
        if self.changes_to_live == 0:
            raise Killed


def _mortal(name):
    def call(self, *args, **kwargs):
        getattr(mlflow.MlflowClient, name)(self, *args, **kwargs)
        self.age()

    return call


for _name in MUTATING:
    setattr(MortalClient, _name, _mortal(_name))


def move(client, version, to_stage, model="delay", is_dry_run=False):
    request = PromotionRequest(
        model=model,
        version=version,
        to_stage=to_stage,
        actor="ann@desk",
        reason=f"{version} is better",
        is_dry_run=is_dry_run,
    )
    return promote(client, make_promotion(model), request)


def back(client, model="delay", reason="alarm"):
    return rollback(client, make_promotion(model), model, "bob@desk", reason)


def go_live(shop, *versions, model="delay"):
    for version in versions:
        shop.judge(version, model)
        assert move(shop.client, version, "Staging", model).transition
        assert move(shop.client, version, "Production", model).transition


def told(client, model):
    """The history without its clock."""
    return [
        (s.version, str(s.action), s.from_stage, s.to_stage, s.replaced, s.actor, s.reason, s.gates)
        for s in read_history(client, model)
    ]


def test_a_version_goes_to_staging_and_production_with_its_alias_and_a_record(shop):
    shop.add_model(1)
    shop.judge(1)
    staged = move(shop.client, 1, "Staging")
    assert staged.decision.is_allowed
    assert shop.state() == ({1: "Staging"}, {"challenger": 1})
    live = move(shop.client, 1, "Production")
    assert shop.state() == ({1: "Production"}, {"champion": 1})
    assert read_history(shop.client, "delay") == (staged.transition, live.transition)
    assert live.transition.action is Action.PROMOTE
    assert live.transition.gates == {"data": "passed", "metrics": "passed", "champion": "passed"}
    assert (live.transition.from_stage, live.transition.replaced) == ("Staging", None)
    description = shop.client.get_model_version("delay", "1").description.splitlines()
    assert [line[23:] for line in description] == [
        "promote to Staging by ann@desk: 1 is better",
        "promote to Production by ann@desk: 1 is better",
    ]


def test_going_live_archives_what_was_there_and_records_that_too(shop):
    shop.add_model(2)
    go_live(shop, 1, 2)
    assert shop.state() == ({1: "Archived", 2: "Production"}, {"champion": 2})
    promoted, archived = read_history(shop.client, "delay")[-2:]
    assert (promoted.version, promoted.replaced) == (2, 1)
    assert (archived.version, archived.action, archived.to_stage) == (1, "archive", "Archived")


def test_a_refusal_moves_nothing_and_says_what_is_missing(shop):
    shop.add_model(1)
    shop.judge(1, metrics=Verdict.SKIPPED)
    result = move(shop.client, 1, "Staging")
    assert [unmet.name for unmet in result.decision.unmet] == ["gate metrics"]
    assert result.transition is None
    assert shop.state() == ({1: "None"}, {})
    assert read_history(shop.client, "delay") == ()


def test_an_edited_tag_does_not_help_and_is_named(shop):
    shop.add_model(1)
    shop.judge(1, metrics=Verdict.FAILED)
    shop.client.set_model_version_tag("delay", "1", "gate.metrics", "passed")
    result = move(shop.client, 1, "Staging")
    assert not result.decision.is_allowed
    assert "tag gate.metrics says passed" in result.problems[0]


def test_a_dry_run_decides_and_moves_nothing(shop):
    shop.add_model(1)
    shop.judge(1)
    result = move(shop.client, 1, "Staging", is_dry_run=True)
    assert result.decision.is_allowed and result.transition is None
    assert shop.state() == ({1: "None"}, {})


def test_asking_again_is_a_yes_that_changes_nothing(shop):
    shop.add_model(1)
    go_live(shop, 1)
    before = shop.client.get_model_version("delay", "1")
    again = move(shop.client, 1, "Production")
    assert again.decision.is_allowed and again.transition is None
    after = shop.client.get_model_version("delay", "1")
    assert (after.last_updated_timestamp, after.tags) == (
        before.last_updated_timestamp,
        before.tags,
    )


def test_a_version_that_does_not_exist_is_an_error(shop):
    shop.add_model(1)
    with pytest.raises(ModelNotFoundError, match=r"version 7 .*\n.*one of 1"):
        move(shop.client, 7, "Staging")


def test_a_stage_without_a_rule_cannot_be_judged(shop):
    shop.add_model(1)
    with pytest.raises(UnknownNameError, match="write 'Production' instead of 'production'"):
        move(shop.client, 1, "production")


def test_a_report_about_another_version_is_named_but_does_not_count(shop):
    shop.add_model(2)
    run = shop.judge(1)
    report = make_report("metrics", "models:/delay/2")
    shop.client.log_text(run, to_json(report), "gates/metrics.json")
    (unmet,) = move(shop.client, 1, "Staging").decision.unmet
    assert unmet.found == "passed, but it does not count: it is about models:/delay/2"
    assert unmet.fix == "mlflow run . -e gate --env-manager local"


def test_only_the_deprecation_of_stages_is_silenced(shop):
    shop.add_model(1)
    shop.judge(1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        move(shop.client, 1, "Staging")
    assert [w for w in seen if issubclass(w.category, FutureWarning)] == []
    with pytest.warns(FutureWarning, match="transition_model_version_stage"):
        shop.client.transition_model_version_stage("delay", "1", "None")


def test_rollback_returns_the_version_that_was_replaced_whatever_its_number(shop):
    shop.add_model(3)
    go_live(shop, 3, 1)
    done = back(shop.client)
    assert (done.action, done.version, done.replaced) == (Action.ROLLBACK, 3, 1)
    assert shop.state() == ({1: "Archived", 2: "None", 3: "Production"}, {"champion": 3})
    assert mlflow.MlflowClient().get_model_version_by_alias("delay", "champion").version == 3


def test_rollbacks_go_back_one_by_one_and_end_with_an_error(shop):
    shop.add_model(3)
    go_live(shop, 1, 2, 3)
    assert back(shop.client, reason="3 is slow").version == 2
    assert back(shop.client, reason="2 is no better").version == 1
    with pytest.raises(RegistryStateError, match="version 1, and nothing is known before it"):
        back(shop.client)
    assert shop.state()[0] == {1: "Production", 2: "Archived", 3: "Archived"}


def test_the_same_rollback_asked_twice_is_one_rollback(shop):
    shop.add_model(3)
    go_live(shop, 1, 2, 3)
    assert back(shop.client) == back(shop.client)
    assert shop.state()[0] == {1: "Archived", 2: "Production", 3: "Archived"}


def test_rollback_skips_a_deleted_version(shop):
    shop.add_model(3)
    go_live(shop, 1, 2, 3)
    shop.client.delete_model_version("delay", "2")
    assert back(shop.client).version == 1


def test_with_nothing_in_production_there_is_nothing_to_undo(shop):
    shop.add_model(1)
    with pytest.raises(RegistryStateError, match="Production holds no version"):
        back(shop.client)


def before_promotion(shop, model):
    """Version 1 is live; 2 waits in Staging."""
    shop.add_model(2, model)
    go_live(shop, 1, model=model)
    shop.judge(2, model)
    move(shop.client, 2, "Staging", model)


def before_rollback(shop, model):
    """Version 2 is live and replaced 1."""
    shop.add_model(2, model)
    go_live(shop, 1, 2, model=model)


@pytest.mark.parametrize(
    ("prepare", "act"),
    [
        (before_promotion, lambda client, model: move(client, 2, "Production", model)),
        (before_rollback, back),
    ],
    ids=["promote", "rollback"],
)
def test_killed_after_any_call_the_same_command_completes_the_work(shop, prepare, act):
    prepare(shop, "whole")
    act(shop.client, "whole")
    expected = shop.state("whole"), told(shop.client, "whole")
    calls, is_killed = 0, True
    while is_killed:
        calls += 1
        model = f"killed-{calls}"
        prepare(shop, model)
        try:
            act(MortalClient(calls), model)
            is_killed = False
        except Killed:
            act(shop.client, model)
        assert (shop.state(model), told(shop.client, model)) == expected, f"after call {calls}"
        assert read_status(shop.client, model).problems == ()
    assert calls > 6


def test_a_promotion_killed_half_way_is_seen_and_completed_by_whoever_comes_next(shop):
    before_promotion(shop, "delay")
    with pytest.raises(Killed):
        move(MortalClient(2), 2, "Production")
    (problem,) = read_status(shop.client, "delay").problems
    assert problem.startswith("version 2: its promote to Production was interrupted")
    assert back(shop.client).version == 1
    assert [step[:2] for step in told(shop.client, "delay")[-4:]] == [
        (2, "promote"),
        (1, "archive"),
        (1, "rollback"),
        (2, "archive"),
    ]
