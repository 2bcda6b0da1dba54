"""Syncing ends in exactly one child run for each finished trial, whatever was there before."""

import mlflow
import pytest
from mlflow.entities import Metric, Param
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial
from told_study import METRIC, children, contents, open_told, tell_trials

from mlflow_ext.tracking.writer import CallsWriter
from mlflow_ext.tuning.attributes import STUDY_ID
from mlflow_ext.tuning.mirror import open_study_run, sync
from mlflow_ext.tuning.mirror.content import content_of
from mlflow_ext.tuning.mirror.reconciliation import TRIALS_PER_STEP


@pytest.fixture
def study(tmp_path):
    return tell_trials(open_told(tmp_path))


@pytest.fixture
def place(tracking, study):
    with mlflow.start_run() as parent:
        return open_study_run(tracking, parent, study, METRIC)


def by_calls(place, trials):
    """Make child runs as they come to be in a store that chooses identities itself."""
    store = place.client._tracking_client.store
    CallsWriter(store).write(place.experiment_id, [content_of(place, t) for t in trials], {})


def test_each_finished_trial_gets_one_child_and_again_changes_nothing(place, study):
    assert sync(place, study) == 6
    before = contents(place)

    assert [run.info.status for run in children(place)] == [
        "FINISHED",
        "KILLED",
        "FAILED",
        "FINISHED",
        "FINISHED",
        "FINISHED",
    ]
    assert sync(place, study) == 0
    assert contents(place) == before


def test_code_and_environment_are_said_by_the_parent_and_not_by_who_shows_its_trials(place, study):
    sync(place, study)
    parent = place.client.get_run(place.parent_run_id).data.tags

    assert {"mlflow_ext.python", "mlflow_ext.command", "mlflow.user"} <= parent.keys()
    for child in children(place):
        assert child.data.tags["mlflow.user"] == parent["mlflow.user"]
        assert not {"mlflow_ext.python", "mlflow_ext.command"} & child.data.tags.keys()


def test_more_trials_than_one_step_holds_get_their_children(place, study):
    for number in range(2 * TRIALS_PER_STEP):
        study.add_trial(create_trial(value=float(number)))

    assert sync(place, study) == 6 + 2 * TRIALS_PER_STEP
    assert len(children(place)) == 6 + 2 * TRIALS_PER_STEP


def test_single_calls_and_a_bulk_say_the_same(place, study):
    by_calls(place, study.trials)
    expected = contents(place)
    assert sync(place, study) == 0
    for run in children(place):
        place.client.delete_run(run.info.run_id)

    assert sync(place, study) == 6
    assert contents(place) == expected


def test_a_deleted_child_is_made_again_with_equal_content(place, study):
    sync(place, study)
    before = contents(place)
    place.client.delete_run(children(place)[3].info.run_id)

    assert sync(place, study) == 1
    assert contents(place) == before


@pytest.mark.parametrize("logged", [False, True])
def test_a_child_that_a_crash_left_running_is_completed_to_equal_content(place, study, logged):
    sync(place, study)
    before = contents(place)
    for run in children(place):
        place.client.delete_run(run.info.run_id)
        again = place.client.create_run(
            place.experiment_id, run.info.start_time, run.data.tags, run.info.run_name
        )
        if logged:
            params = [Param(*item) for item in run.data.params.items()]
            points = [
                Metric(key, p.value, p.timestamp, p.step)
                for key in run.data.metrics
                for p in place.client.get_metric_history(run.info.run_id, key)
            ]
            place.client.log_batch(again.info.run_id, params=params, metrics=points)

    assert {run.info.status for run in children(place)} == {"RUNNING"}
    assert sync(place, study) == 6
    assert contents(place) == before


def test_of_two_children_of_one_trial_one_is_removed(place, study):
    sync(place, study)
    before = contents(place)
    by_calls(place, study.trials[:2])

    assert sync(place, study) == 2
    assert contents(place) == before


def test_children_move_under_the_run_that_goes_on_with_the_study(place, study):
    by_calls(place, study.trials[:3])
    sync(place, study)
    with mlflow.start_run() as later:
        moved = open_study_run(place.client, later, study, METRIC)

    assert sync(moved, study) == 6
    assert sync(moved, study) == 0
    assert {run.data.tags["mlflow.parentRunId"] for run in children(place)} == {later.info.run_id}
    assert len(children(place)) == 6


def test_a_child_that_somebody_renamed_keeps_its_name_and_stays_the_only_one(place, study):
    sync(place, study)
    place.client.update_run(children(place)[0].info.run_id, name="my favourite")

    assert sync(place, study) == 0
    assert children(place)[0].info.run_name == "my favourite"


def test_two_studies_of_one_name_keep_their_own_children(place, study, tmp_path):
    sync(place, study)
    (tmp_path / "other").mkdir()
    other_study = tell_trials(open_told(tmp_path / "other"))
    with mlflow.start_run() as parent:
        other = open_study_run(place.client, parent, other_study, METRIC)

    assert other_study.user_attrs[STUDY_ID] != study.user_attrs[STUDY_ID]
    assert sync(other, other_study) == 6
    assert sync(place, study) == 0
    assert len(children(place)) == 12


def test_a_study_that_goes_on_in_another_experiment_appears_there_as_a_whole(place, study):
    sync(place, study)
    experiment = place.client.create_experiment("another")
    parent = place.client.create_run(experiment)
    elsewhere = open_study_run(place.client, parent, study, METRIC)

    assert sync(elsewhere, study) == 6
    assert (len(children(place)), len(children(elsewhere))) == (6, 6)


def test_a_running_or_waiting_trial_has_no_child(place, study):
    study.ask()
    study.enqueue_trial({})

    assert sync(place, study) == 6


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_hundreds_of_parameters_odd_names_and_odd_texts_arrive(study, request, tmp_path, database):
    fixture = {"sqlite": "tracking", "postgresql": "postgres_store"}[database]
    given = request.getfixturevalue(fixture)
    client = given if database == "sqlite" else mlflow.MlflowClient(given)
    odd = ("a'b[0]", "a'b(0)", "x//y", "..", "é:ü 日", "p" * 300, " ")
    texts = ("nul \0", "half \ud800", "ten" * 3000)
    space = {f"p{n:03d}": FloatDistribution(0, 9) for n in range(300)}
    space |= {name: FloatDistribution(0, 9) for name in odd}
    space |= {f"text {n}": CategoricalDistribution(texts) for n in range(3)}
    params = dict.fromkeys(space, 1.0) | {f"text {n}": text for n, text in enumerate(texts)}
    steps = {step: float(step) for step in range(1200)}
    study.add_trial(
        create_trial(
            params=params,
            distributions=space,
            intermediate_values=steps,
            user_attrs={"nul \0": "\0", "mlflow.runName": "mine"},
            value=0.5,
        )
    )
    experiment = client.create_experiment(f"odd {database}")
    place = open_study_run(client, client.create_run(experiment), study, "my [metric]'")

    assert sync(place, study) == 7
    run = children(place)[6]
    assert len(run.data.params) == 310
    assert len(run.data.params["text 2"]) == 6000
    assert 0.5 in run.data.metrics.values()
    (intermediate,) = [key for key in run.data.metrics if key.startswith("intermediate/")]
    assert len(client.get_metric_history(run.info.run_id, intermediate)) == 1200
    assert sync(place, study) == 0
