"""What users do to the child runs stays theirs, and what the study says of them comes back."""

import mlflow
import pytest
from told_study import METRIC, children, contents, history, open_told, tell_trials

from mlflow_ext.tracking.writer import CallsWriter
from mlflow_ext.tuning.attributes import STATE, STUDY_ID, TRIAL
from mlflow_ext.tuning.mirror import open_study_run, sync
from mlflow_ext.tuning.mirror.content import content_of


@pytest.fixture
def study(tmp_path):
    return tell_trials(open_told(tmp_path))


@pytest.fixture(params=["the client chooses identities", "the store chooses identities"])
def place(request, tracking, study):
    """Where the children are, already."""
    with mlflow.start_run() as parent:
        opened = open_study_run(tracking, parent, study, METRIC)
    if "store" in request.param:
        runs = [content_of(opened, trial) for trial in study.trials]
        CallsWriter(tracking._tracking_client.store).write(opened.experiment_id, runs, {})
    sync(opened, study)
    return opened


def ids(place):
    return [run.info.run_id for run in children(place)]


def test_a_child_that_a_user_works_in_keeps_all_and_goes_on_until_the_user_ends_it(place, study):
    before, pruned = contents(place), ids(place)[1]
    with mlflow.start_run(run_id=pruned):
        mlflow.log_metric("test_auc", 0.9)
        mlflow.log_param("calibrated", "yes")
        mlflow.set_tag("note", "look here")
        assert sync(place, study) == 0
        mlflow.set_tag(STATE, "HACK")
        assert (sync(place, study), sync(place, study)) == (1, 0)
        run = place.client.get_run(pruned)
        assert (run.info.status, run.data.tags[STATE]) == ("RUNNING", "PRUNED")

    assert (sync(place, study), sync(place, study)) == (1, 0)
    run = place.client.get_run(pruned)
    assert run.data.params.pop("calibrated") == "yes"
    assert run.data.tags.pop("note") == "look here"
    assert history(place, run, "test_auc")[0][:2] == (0, 0.9)
    theirs = contents(place)[1]
    assert theirs[:4] == before[1][:4]
    assert theirs[4] == {**before[1][4], "calibrated": "yes"}
    assert theirs[6].items() >= before[1][6].items()


def test_a_child_that_never_ended_is_completed_and_keeps_what_a_user_logged(place, study):
    before, run = contents(place), children(place)[0]
    place.client.delete_run(run.info.run_id)
    begun = place.client.create_run(
        place.experiment_id, run.info.start_time, run.data.tags, run.info.run_name
    ).info.run_id
    place.client.log_metric(begun, "test_auc", 0.9)
    place.client.log_param(begun, "calibrated", "yes")

    assert (sync(place, study), sync(place, study)) == (1, 0)
    assert contents(place)[1:] == before[1:]
    assert contents(place)[0][:4] == before[0][:4]
    found = place.client.get_run(begun).data
    assert (found.metrics["test_auc"], found.params["calibrated"]) == (0.9, "yes")
    assert found.metrics.items() >= run.data.metrics.items()


def test_what_a_user_changed_in_a_child_is_as_the_study_says_again(place, study):
    before, (first, pruned, *_) = contents(place), ids(place)
    with mlflow.start_run(run_id=first):
        mlflow.log_metric(METRIC, 0.001, step=5)
        mlflow.set_tag(STATE, "HACK")
    place.client.log_metric(pruned, "trial", float("nan"))
    place.client.set_terminated(pruned, "FAILED")

    assert (sync(place, study), sync(place, study)) == (2, 0)
    found = contents(place)
    assert [run[:6] for run in found] == [run[:6] for run in before]
    assert children(place)[0].data.metrics[METRIC] == study.trials[0].value
    assert children(place)[1].data.metrics["trial"] == 1.0
    points = history(place, children(place)[0], METRIC)
    assert [(step, value) for step, value, _ in points] == [
        (0, study.trials[0].value),
        *sorted([(5, 0.001), (5, study.trials[0].value)]),
    ]


@pytest.mark.parametrize("said", ["zero", "3", "9999999999", "", None])
def test_a_child_whose_number_a_user_changed_is_recognised_and_stays_the_only_one(
    place, study, said
):
    before, known = contents(place), ids(place)
    if said is None:
        place.client.delete_tag(known[0], TRIAL)
    else:
        place.client.set_tag(known[0], TRIAL, said)

    assert (sync(place, study), sync(place, study)) == (1, 0)
    assert ids(place) == known
    assert contents(place) == before


def test_a_child_without_its_number_that_was_renamed_too_is_recognised(place, study):
    known = ids(place)
    place.client.delete_tag(known[0], TRIAL)
    place.client.update_run(known[0], name="my favourite")

    assert (sync(place, study), sync(place, study)) == (1, 0)
    assert ids(place) == known
    assert len(place.client.search_runs([place.experiment_id])) == len(known) + 1


def test_a_run_of_a_user_that_carries_copied_tags_is_left_alone(place, study):
    tags = {STUDY_ID: place.study_id, TRIAL: "0"}
    theirs = place.client.create_run(place.experiment_id, tags=tags, run_name="mine").info.run_id
    place.client.log_metric(theirs, "m", 1.0)
    before = place.client.get_run(theirs).to_dictionary()

    assert sync(place, study) == 0
    assert place.client.get_run(theirs).to_dictionary() == before
