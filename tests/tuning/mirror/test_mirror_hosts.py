"""Several machines show one study: all trials end under the run that was the last to join."""

import time
from dataclasses import replace

from mlflow import MlflowClient
from told_study import children, open_place, open_told, tell_trials

from mlflow_ext.tuning.attributes import ALIVE, RUN, SESSION, TRIAL
from mlflow_ext.tuning.mirror import children as children_module
from mlflow_ext.tuning.mirror import following, sync
from mlflow_ext.tuning.mirror.place import PARENT
from mlflow_ext.tuning.sessions import end_dead_runs, list_others

ELSEWHERE = "elsewhere.example.org:1:1.0"


def parents(place):
    return {run.data.tags[PARENT] for run in children(place)}


def join(study, place):
    """Let another machine go on with *study*, whose trials appear at *place*."""
    study.set_user_attr(RUN, place.parent_run_id)
    session = {"process": ELSEWHERE, "is_over": False, "owed": None}
    study.set_user_attr(SESSION + place.parent_run_id, session)


def test_trials_move_to_the_run_of_the_machine_that_joined_last(tracking, tmp_path):
    study = open_told(tmp_path)
    experiment = tracking.create_experiment("hosts")
    mine, other = (open_place(study, tracking, experiment) for _ in range(2))
    study.set_user_attr(RUN, mine.parent_run_id)
    with following(mine, open_told(tmp_path), "studies"):
        tell_trials(study, 6)
        sync(mine, study)
        assert parents(mine) == {mine.parent_run_id}
        join(study, other)
        tell_trials(study, 6)

    assert len(children(mine)) == 12
    assert parents(mine) == {other.parent_run_id}


def test_a_run_in_another_store_is_not_followed(tracking, tmp_path):
    study = open_told(tmp_path)
    mine = open_place(study, tracking, tracking.create_experiment("hosts"))
    study.set_user_attr(RUN, "0" * 32)
    with following(mine, open_told(tmp_path), "studies"):
        tell_trials(study, 6)

    assert parents(mine) == {mine.parent_run_id}


def test_the_last_look_finds_what_another_machine_has_just_put_elsewhere(tracking, tmp_path):
    study = open_told(tmp_path)
    experiment = tracking.create_experiment("hosts")
    other, mine = (open_place(study, tracking, experiment) for _ in range(2))
    join(study, other)
    study.set_user_attr(ALIVE + ELSEWHERE, 4e9)
    study.set_user_attr(RUN, mine.parent_run_id)
    with following(mine, open_told(tmp_path), "studies"):
        tell_trials(study, 6)
        deadline = time.monotonic() + 60
        while len(children(mine)) < 6 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)  # until its batch is over
        sync(other, study)  # it began to write before it knew
        assert parents(mine) == {other.parent_run_id}

    assert parents(mine) == {mine.parent_run_id}


class BesideAnother(MlflowClient):
    """Speaks to a store in which somebody else begins a run each time a page has been read."""

    def search_runs(self, experiment_ids, *given, **options):
        page = super().search_runs(experiment_ids, *given, **options)
        if page.token:
            like = page[0].data.tags | {TRIAL: "999", "mlflow.runName": "trial-999"}
            self.create_run(experiment_ids[0], tags=like)
        return page


def test_runs_that_appear_while_pages_are_read_cost_no_trial_its_child(
    tracking, tmp_path, monkeypatch
):
    study = tell_trials(open_told(tmp_path), 12)
    place = open_place(study, tracking, tracking.create_experiment("hosts"))
    sync(place, study)
    before = [run.info.run_id for run in children(place)]
    monkeypatch.setattr(children_module, "RUNS_PER_PAGE", 4)

    sync(replace(place, client=BesideAnother()), study)

    shown = [run for run in children(place) if run.data.tags[TRIAL] != "999"]
    assert [run.info.run_id for run in shown] == before


def test_a_process_elsewhere_is_at_work_while_it_shows_life_and_its_run_is_left_alone(
    tracking, tmp_path
):
    study = open_told(tmp_path)
    place = open_place(study, tracking, tracking.create_experiment("hosts"))
    join(study, place)
    assert list_others(study) == [], "of a journal nobody elsewhere shows signs of life"
    assert end_dead_runs(tracking, study) == []

    study.set_user_attr(ALIVE + ELSEWHERE, 4e9)
    assert [session.process for session in list_others(study)] == [ELSEWHERE]
    assert end_dead_runs(tracking, study) == []

    study.set_user_attr(ALIVE + ELSEWHERE, 1.0)
    assert list_others(study) == []
    assert end_dead_runs(tracking, study) == [place.parent_run_id]
    assert tracking.get_run(place.parent_run_id).info.status == "KILLED"
