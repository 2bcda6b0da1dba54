"""The mirror follows a study by itself, and whatever ends the search, the rest is written."""

import logging
import signal
import subprocess
import sys
import time

import mlflow
import pytest
import told_study
from servers import free_port
from told_study import METRIC, N_TRIALS, children, contents, open_place, open_told, tell_trials

from mlflow_ext.tuning.attributes import STUDY, STUDY_ID
from mlflow_ext.tuning.mirror import StudyRun, following, open_study_run, sync
from mlflow_ext.tuning.mirror.place import PARENT


@pytest.fixture
def study(tmp_path):
    return open_told(tmp_path)


@pytest.fixture
def place(tracking, study):
    with mlflow.start_run() as parent:
        return open_study_run(tracking, parent, study, METRIC)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def test_trials_appear_while_the_study_runs_and_the_rest_at_its_end(place, study, caplog):
    with following(place, study, "studies"):
        tell_trials(study, 6)
        assert wait_for(lambda: len(children(place)) == 6)
        tell_trials(study, 6)
    assert len(children(place)) == 12
    before = contents(place)

    assert sync(place, study) == 0
    assert contents(place) == before
    assert caplog.records == []


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3)])
def test_what_has_finished_is_written_when_the_search_is_broken_off(place, study, error):
    with pytest.raises(type(error)), following(place, study, "studies"):
        tell_trials(study, 6)
        raise error

    assert len(children(place)) == 6


def test_a_study_that_goes_on_is_brought_up_to_date_under_its_new_run(place, study):
    tell_trials(study, 6)
    sync(place, study)
    place.client.delete_run(children(place)[2].info.run_id)
    later = open_place(study, place.client, place.experiment_id)
    with following(later, study, "studies"):
        tell_trials(study, 1)

    found = children(place)
    assert len(found) == 7
    assert {run.data.tags[PARENT] for run in found} == {later.parent_run_id}


@pytest.mark.slow
def test_a_program_that_is_told_to_terminate_writes_the_rest_first(tracking, tmp_path):
    experiment = tracking.create_experiment("terminated")
    where = (str(tmp_path), mlflow.get_tracking_uri(), experiment)
    command = [sys.executable, told_study.__file__, "follow", *where, "at the end of the search"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "READY"
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    study = open_told(tmp_path)

    assert process.returncode == 128 + signal.SIGTERM
    assert len(study.trials) == N_TRIALS
    assert sync(open_place(study, tracking, experiment), study) == N_TRIALS  # moved, none made
    assert len(tracking.search_runs([experiment])) == N_TRIALS + 2


def test_a_plan_of_the_program_for_sigterm_is_left_alone(place, study):
    def plan(*_):
        """The program's own."""

    before = signal.signal(signal.SIGTERM, plan)
    try:
        with following(place, study, "studies"):
            assert signal.getsignal(signal.SIGTERM) is plan
    finally:
        signal.signal(signal.SIGTERM, before)
    with following(place, study, "studies"):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_store_that_does_not_answer_costs_one_line_and_nothing_else(study, caplog):
    address = f"http://ann:secret@127.0.0.1:{free_port()}"
    place = StudyRun(
        client=mlflow.MlflowClient(address),
        experiment_id="1",
        parent_run_id="p" * 32,
        metrics=(METRIC,),
        tags={STUDY: study.study_name, STUDY_ID: study.user_attrs[STUDY_ID], PARENT: "p" * 32},
    )
    with caplog.at_level(logging.WARNING), following(place, study, "studies") as follower:
        tell_trials(study, 6)
        assert wait_for(lambda: follower.error is not None)

    (record,) = [record for record in caplog.records if record.name.startswith("mlflow_ext")]
    said = record.getMessage()
    assert said.startswith("6 trials of study 'bob's study' are not in MLflow yet")
    assert said.endswith("""mlflow-ext tune sync 'bob'"'"'s study' --studies studies""")
    assert "\n" not in said
    assert "secret" not in said


def test_a_run_that_the_store_refuses_keeps_no_other_from_being_shown(place, study, caplog):
    tell_trials(study, 6)
    other = place.client.create_experiment("other")
    store = place.client._tracking_client.store
    from mlflow_ext.tracking.bulk import write_bulk
    from mlflow_ext.tuning.mirror.content import content_of

    write_bulk(store, other, [content_of(place, study.trials[3])])
    with caplog.at_level(logging.WARNING), following(place, study, "studies"):
        assert wait_for(lambda: len(children(place)) == 5)

    (record,) = caplog.records
    assert record.getMessage().startswith("1 trials")
    assert "is in another experiment" in record.getMessage()
