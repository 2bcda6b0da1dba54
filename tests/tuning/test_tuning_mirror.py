"""Every finished trial is exactly one child run with the content of the trial."""

import math
import subprocess
import sys
from dataclasses import replace

import mlflow
import optuna
import pytest
from tiny_study import NAME, SEARCH

from mlflow_ext.project import Choices, FloatRange
from mlflow_ext.tuning.attributes import NON_FINITE, OWNER, REASON, REPORTED_MS, STATE, STUDY, TRIAL
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.mirror import mirror_trial, open_study_run, sync
from mlflow_ext.tuning.space import suggest
from mlflow_ext.tuning.study import run_study

ODD = {
    "a'b[0]": 1.0,
    "a'b(0)": 2.0,
    "x//y": 3.0,
    "..": 4.0,
    "é:ü 日": 5.0,
    "p" * 300: 6.0,
    " ": 7.0,
}


def varied(trial):
    """Completes, is pruned, fails, is infinite and reports nan in turn."""
    params = suggest(trial, SEARCH.space)
    trial.set_user_attr("colour 'x'", "green")
    trial.set_user_attr(REPORTED_MS, [1_700_000_000_000, 1_700_000_001_000])
    trial.report(params["slope"], 0)
    if trial.number == 1:
        raise optuna.TrialPruned
    if trial.number == 2:
        raise RuntimeError("boom " * 3000)
    trial.report(math.nan if trial.number == 3 else params["scale"], 1)
    return -math.inf if trial.number == 4 else params["scale"]


@pytest.fixture
def study(tmp_path):
    search = replace(SEARCH, pruner="none", n_trials=6)
    run_study(search, varied, name=NAME, storage_dir=tmp_path)
    return open_study(search, NAME, tmp_path)


@pytest.fixture
def place(tracking, study):
    with mlflow.start_run() as parent:
        return open_study_run(tracking, parent, study, "roc_auc")


def children(place, view=mlflow.entities.ViewType.ACTIVE_ONLY):
    runs = place.client.search_runs([place.experiment_id], "", run_view_type=view)
    found = [run for run in runs if TRIAL in run.data.tags]
    return sorted(found, key=lambda run: int(run.data.tags[TRIAL]))


def contents(place):
    """All that a child run says, without its identity and what names its place."""
    return [
        (
            run.info.run_name,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            run.data.params,
            run.data.tags,
            {key: history(place, run, key) for key in run.data.metrics},
        )
        for run in children(place)
    ]


def history(place, run, key):
    points = place.client.get_metric_history(run.info.run_id, key)
    return sorted((p.step, p.value, p.timestamp) for p in points)


def test_a_completed_trial_is_a_finished_child_with_all_the_trial_holds(place, study):
    sync(place, study)
    trial, run = study.trials[0], children(place)[0]

    assert (run.info.run_name, run.info.status) == ("trial-0000", "FINISHED")
    assert run.data.tags["mlflow.parentRunId"] == place.parent_run_id
    assert run.data.tags["mlflow.user"]
    assert (run.data.tags[STUDY], run.data.tags[TRIAL]) == (NAME, "0")
    assert run.data.tags[STATE] == "COMPLETE"
    assert "green" in run.data.tags.values()
    assert run.data.params == {key: str(value) for key, value in trial.params.items()}
    assert run.info.start_time == round(trial.datetime_start.timestamp() * 1000)
    assert run.info.end_time == round(trial.datetime_complete.timestamp() * 1000)
    assert history(place, run, "roc_auc") == [(0, trial.value, run.info.end_time)]
    assert history(place, run, "intermediate/roc_auc") == [
        (0, trial.intermediate_values[0], 1_700_000_000_000),
        (1, trial.intermediate_values[1], 1_700_000_001_000),
    ]
    assert run.data.metrics["trial"] == 0
    assert run.data.metrics["duration_seconds"] == trial.duration.total_seconds()


def test_a_pruned_trial_is_a_killed_child_with_the_reason_and_no_final_value(place, study):
    sync(place, study)
    run = children(place)[1]

    assert (run.info.status, run.data.tags[STATE]) == ("KILLED", "PRUNED")
    assert "pruned after step 0" in run.data.tags[REASON]
    assert "roc_auc" not in run.data.metrics
    assert run.data.metrics["intermediate/roc_auc"] == study.trials[1].params["slope"]


def test_a_failed_trial_is_a_failed_child_with_the_exception(place, study):
    sync(place, study)
    run = children(place)[2]

    assert (run.info.status, run.data.tags[STATE]) == ("FAILED", "FAIL")
    assert run.data.tags[REASON].startswith("RuntimeError: boom boom")
    assert len(run.data.tags[REASON]) == 8000
    assert "roc_auc" not in run.data.metrics


def test_values_no_chart_can_show_are_named_instead_of_falsified(place, study):
    sync(place, study)
    _, _, _, nan_reported, infinite, _ = children(place)

    assert nan_reported.data.tags[NON_FINITE] == "step 1: nan"
    assert infinite.data.tags[NON_FINITE] == "value: -inf"
    assert "roc_auc" not in infinite.data.metrics
    assert (nan_reported.info.status, infinite.info.status) == ("FINISHED", "FINISHED")
    values = [value for run in children(place) for value in run.data.metrics.values()]
    assert all(math.isfinite(value) and abs(value) < 1e300 for value in values)


def test_syncing_twice_changes_nothing(place, study):
    assert sync(place, study) == 6
    before = contents(place)

    assert sync(place, study) == 0
    assert contents(place) == before


def test_mirroring_each_trial_as_it_ends_leaves_nothing_to_sync(tracking, tmp_path):
    search = replace(SEARCH, pruner="none", n_trials=6)
    study = open_study(search, NAME, tmp_path)
    with mlflow.start_run() as parent:
        place = open_study_run(tracking, parent, study, "roc_auc")
    run_study(
        search, varied, name=NAME, storage_dir=tmp_path, on_trial=lambda t: mirror_trial(place, t)
    )

    assert len(children(place)) == 6
    assert sync(place, study) == 0


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
            params = [mlflow.entities.Param(*item) for item in run.data.params.items()]
            points = [
                mlflow.entities.Metric(key, p.value, p.timestamp, p.step)
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
    mirror_trial(place, study.trials[0])

    assert sync(place, study) == 1
    assert contents(place) == before


def test_children_move_under_the_run_that_goes_on_with_the_study(place, study):
    sync(place, study)
    with mlflow.start_run() as later:
        moved = open_study_run(place.client, later, study, "roc_auc")

    assert sync(moved, study) == 6
    assert sync(moved, study) == 0
    parents = {run.data.tags["mlflow.parentRunId"] for run in children(place)}
    assert parents == {later.info.run_id}
    assert len(children(place)) == 6


def test_two_studies_of_one_name_keep_their_own_children(place, study, tmp_path):
    sync(place, study)
    search = replace(SEARCH, pruner="none", n_trials=6)
    run_study(search, varied, name=NAME, storage_dir=tmp_path / "other")
    other_study = open_study(search, NAME, tmp_path / "other")
    with mlflow.start_run() as parent:
        other = open_study_run(place.client, parent, other_study, "roc_auc")

    assert sync(other, other_study) == 6
    assert sync(place, study) == 0
    assert len(children(place)) == 12


def test_the_trials_of_a_process_that_lives_are_left_to_it(place, study):
    name = "from mlflow_ext.process import current_process as c; print(c(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        study.enqueue_trial({})
        trial = study.ask()
        trial.set_user_attr(OWNER, other.stdout.readline().strip())
        study.tell(trial, 0.5)

        assert sync(place, study) == 6
        other.communicate("\n")
    assert sync(place, study) == 1


def test_a_running_or_waiting_trial_has_no_child(place, study):
    study.enqueue_trial({})
    study.ask()
    study.enqueue_trial({})

    assert sync(place, study) == 6


def test_odd_names_of_parameters_become_distinct_names_that_mlflow_takes(tracking, tmp_path):
    space = {name: FloatRange(type="float", low=0.0, high=9.0) for name in ODD}
    search = replace(SEARCH, space=space, n_trials=1)
    study = open_study(search, NAME, tmp_path)
    study.enqueue_trial(ODD)
    run_study(
        search,
        lambda trial: sum(suggest(trial, space).values()),
        name=NAME,
        storage_dir=tmp_path,
    )
    with mlflow.start_run() as parent:
        place = open_study_run(tracking, parent, study, "my metric'")
    sync(place, study)
    (run,) = children(place)

    assert sorted(run.data.params.values()) == sorted(str(value) for value in ODD.values())
    assert any(key.startswith("a_b_0_-") for key in run.data.params)
    assert 28.0 in run.data.metrics.values()
    assert study.best_params == ODD


def test_hundreds_of_parameters_and_long_choices_fit(tracking, tmp_path):
    choices = tuple(f"{number}" * 3000 for number in range(10, 13))
    space = {f"p{n:03d}": FloatRange(type="float", low=0.0, high=1.0) for n in range(250)}
    space["long"] = Choices(type="categorical", choices=choices)
    search = replace(SEARCH, space=space, n_trials=1)

    def report_often(trial):
        for step in range(1200):
            trial.report(float(step), step)
        return sum(list(suggest(trial, space).values())[:250])

    run_study(search, report_often, name=NAME, storage_dir=tmp_path)
    study = open_study(search, NAME, tmp_path)
    with mlflow.start_run() as parent:
        place = open_study_run(tracking, parent, study, "roc_auc")
    sync(place, study)
    (run,) = children(place)

    assert len(run.data.params) == 251
    assert len(run.data.params["long"]) == 6000
    assert len(history(place, run, "intermediate/roc_auc")) == 1200


def test_a_server_is_told_the_same_and_nothing_is_printed(server, tmp_path, capsys):
    search = replace(SEARCH, pruner="none", n_trials=6)
    run_study(search, varied, name=NAME, storage_dir=tmp_path)
    study = open_study(search, NAME, tmp_path)
    client = mlflow.MlflowClient(server)
    experiment = client.create_experiment("remote")
    parent = client.create_run(experiment)
    place = open_study_run(client, parent, study, "roc_auc")

    assert sync(place, study) == 6
    assert sync(place, study) == 0
    statuses = [run.info.status for run in children(place)]
    assert statuses == ["FINISHED", "KILLED", "FAILED", "FINISHED", "FINISHED", "FINISHED"]
    assert capsys.readouterr().out == ""
