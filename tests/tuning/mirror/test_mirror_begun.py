"""A store that does not know the run of a study gets one, whoever asks, also several at once."""

import subprocess
import sys
import threading

import mlflow
import pytest
from told_study import children, contents, open_told, tell_trials

from mlflow_ext.errors import SearchError
from mlflow_ext.tuning.attributes import RUN
from mlflow_ext.tuning.mirror import sync
from mlflow_ext.tuning.mirror.place import PARENT
from mlflow_ext.tuning.study_run import find_study_run

SYNC = """
import sys
import mlflow
from told_study import open_told
from mlflow_ext.tuning.mirror import sync
from mlflow_ext.tuning.study_run import find_study_run
client, study = mlflow.MlflowClient(sys.argv[2]), open_told(sys.argv[1])
print(sync(find_study_run(client, study, "studies"), study))
"""


@pytest.fixture
def study(tmp_path):
    return tell_trials(open_told(tmp_path))


def test_several_who_begin_it_at_once_agree_on_one_run(tracking, study, tmp_path):
    ready, found, failures = threading.Barrier(4), [], []

    def begin():
        ready.wait()
        try:
            found.append(find_study_run(tracking, open_told(tmp_path), "studies", "rescued"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    (experiment,) = {place.experiment_id for place in found}
    (run,) = tracking.search_runs([experiment])
    assert {place.parent_run_id for place in found} == {run.info.run_id}
    assert run.info.status == "FINISHED"
    again = find_study_run(tracking, study, "studies", "rescued")
    assert again.parent_run_id == run.info.run_id


def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(tracking, study):
    experiment = tracking.create_experiment("gone")
    tracking.delete_experiment(experiment)

    with pytest.raises(SearchError, match="experiment 'gone' is deleted") as error:
        find_study_run(tracking, study, "studies", "gone")
    assert f"mlflow experiments restore -x {experiment}" in str(error.value)


def test_children_name_user_and_source_of_the_search_whoever_shows_them(
    tracking, study, tmp_path, monkeypatch
):
    with mlflow.start_run(tags={"mlflow.source.name": "search.py", "mlflow.user": "ann"}) as run:
        study.set_user_attr(RUN, run.info.run_id)
    tracking.set_tag(run.info.run_id, "mlflow.source.git.commit", "c0ffee")
    (tmp_path / "sync.py").write_text(SYNC)
    where = (str(tmp_path), mlflow.get_tracking_uri())
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    command = [sys.executable, str(tmp_path / "sync.py"), *where]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert shown.split() == ["6"]
    place = find_study_run(tracking, study, "studies")
    before = contents(place)
    assert sync(place, study) == 0
    assert contents(place) == before
    for child in children(place):
        tags = child.data.tags
        assert (tags["mlflow.user"], tags["mlflow.source.name"]) == ("ann", "search.py")
        assert (tags["mlflow.source.git.commit"], tags[PARENT]) == ("c0ffee", run.info.run_id)


def test_under_a_run_that_a_sync_began_its_children_say_what_it_says(tracking, study):
    place = find_study_run(tracking, study, "studies", "rescued")
    sync(place, study)
    parent = tracking.get_run(place.parent_run_id).data.tags

    assert {"mlflow.user", "mlflow.source.name"} <= parent.keys()
    assert not any(key.startswith("mlflow_ext.python") for key in parent)
    for child in children(place):
        assert child.data.tags["mlflow.source.name"] == parent["mlflow.source.name"]
