"""Killed, doubled, or without a server: syncing ends in one child run for each finished trial."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import mlflow
import pytest
import told_study
from servers import Server, free_port, serve_gated
from told_study import N_TRIALS, children, contents, open_place, open_told, tell_trials

from mlflow_ext.tuning.attributes import TRIAL
from mlflow_ext.tuning.mirror import following, sync

pytestmark = pytest.mark.slow
N_SYNCED = 24


class Plain:
    """A plain MLflow server that starts when somebody needs it, and ends on demand."""

    def __init__(self, folder, empty_store):
        store = folder / "mlflow.db"
        store.write_bytes(empty_store.read_bytes())
        options = ("--backend-store-uri", f"sqlite:///{store}")
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._server = Server(folder, free_port(), *options, **quiet)
        self._is_up = False
        self.url = self._server.url

    def rise(self):
        if not self._is_up:
            self._server.launch()
            self._server.wait_until_healthy()
            self._is_up = True
        return mlflow.MlflowClient(self.url)

    def fall(self):
        self._server.end()
        self._is_up = False


@pytest.fixture(scope="module")
def plain(empty_store, tmp_path_factory):
    server = Plain(tmp_path_factory.mktemp("plain"), empty_store)
    yield server
    server.fall()


@contextmanager
def started(action, folder, client, experiment, moment="", **environment):
    """Run told_study.py in a process of its own until it says that it is ready."""
    command = [sys.executable, told_study.__file__, action, str(folder), client.tracking_uri]
    with subprocess.Popen(
        [*command, experiment, moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout.readline().strip() == "READY"
        yield process


def agree(study, client, experiment):
    """Whether the children are exactly the finished trials, none of them running."""
    runs = [r for r in client.search_runs([experiment]) if TRIAL in r.data.tags]
    finished = [trial.number for trial in study.trials if trial.state.is_finished()]
    is_over = all(run.info.status != "RUNNING" for run in runs)
    return is_over and sorted(int(run.data.tags[TRIAL]) for run in runs) == finished


def test_a_server_that_was_down_for_the_whole_study_gets_all_of_it_later(plain, tmp_path):
    client = plain.rise()
    experiment = client.create_experiment("down")
    study = open_told(tmp_path)
    place = open_place(study, client, experiment)
    plain.fall()
    with following(place, study, "studies") as follower:
        tell_trials(study, 12)
    assert "refused" in str(follower.error)

    plain.rise()
    assert sync(place, study) == 12
    assert agree(study, client, experiment)
    assert sync(place, study) == 0


@pytest.mark.parametrize(
    "moment",
    ["before the first batch", "inside a transaction", "after a batch"],
)
def test_after_a_kill_of_the_mirror_a_sync_completes_it(tracking, tmp_path, moment):
    experiment = tracking.create_experiment("killed")
    with started("follow", tmp_path, tracking, experiment, moment) as process:
        process.send_signal(signal.SIGKILL)
    study = open_told(tmp_path)
    there = len(tracking.search_runs([experiment])) - 1
    finished = [trial for trial in study.trials if trial.state.is_finished()]

    assert 0 < len(finished) <= N_TRIALS
    assert (there > 0) == (moment == "after a batch")
    place = open_place(study, tracking, experiment)
    sync(place, study)
    assert agree(study, tracking, experiment)
    before = contents(place)
    assert sync(place, study) == 0
    assert contents(place) == before


def test_after_a_kill_between_two_calls_no_child_is_left_running(plain, tmp_path):
    client = plain.rise()
    experiment = client.create_experiment("killed")
    with started("follow", tmp_path, client, experiment, "between two calls") as process:
        process.send_signal(signal.SIGKILL)
    study = open_told(tmp_path)
    assert {run.info.status for run in client.search_runs([experiment])} == {"RUNNING"}

    sync(open_place(study, client, experiment), study)
    assert agree(study, client, experiment)


@pytest.mark.parametrize(("where", "hosts"), [("database", 2), ("plain", 1), ("plain", 2)])
def test_two_processes_that_sync_at_once_leave_one_child_for_each_trial(
    tracking, plain, tmp_path, where, hosts
):
    """Processes of two hosts cannot wait for each other: here, they lock in different folders."""
    client = tracking if where == "database" else plain.rise()
    experiment = client.create_experiment(f"at once, {hosts}")
    study = tell_trials(open_told(tmp_path), N_SYNCED)
    with ExitStack() as stack:
        both = []
        for number in range(2):
            folder = tmp_path / f"host-{number % hosts}"
            folder.mkdir(exist_ok=True)
            given = {"TMPDIR": str(folder)}
            process = started("sync", tmp_path, client, experiment, **given)
            both.append(stack.enter_context(process))
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.wait(120) for process in both] == [0, 0]

    assert agree(study, client, experiment)
    place = open_place(study, client, experiment)
    sync(place, study)
    shown = contents(place)
    tell_trials(study, 1)
    sync(place, study)
    assert contents(place)[:-1] == shown


def work_in_a_child(place, study):
    """Do as a user who goes on with a pruned child while others sync, and say how that ended."""
    client, pruned = place.client, children(place)[1].info.run_id
    client.update_run(pruned, status="RUNNING")
    client.log_metric(pruned, "test_auc", 0.9)
    client.log_metric(pruned, "trial", 0.5, step=3)
    client.delete_tag(pruned, TRIAL)
    assert (sync(place, study), sync(place, study)) == (1, 0)
    run = client.get_run(pruned)
    assert (run.info.status, run.data.metrics["test_auc"]) == ("RUNNING", 0.9)
    assert (run.data.metrics["trial"], run.data.tags[TRIAL]) == (1.0, "1")
    client.set_terminated(pruned, "FINISHED")
    assert (sync(place, study), sync(place, study)) == (1, 0)
    return client.get_run(pruned).info.status


def test_on_a_plain_server_nobody_who_works_in_a_child_is_disturbed(plain, tmp_path):
    client = plain.rise()
    study = tell_trials(open_told(tmp_path), 6)
    place = open_place(study, client, client.create_experiment("at work"))
    sync(place, study)
    before = [run.info for run in children(place)]

    assert work_in_a_child(place, study) == "KILLED"
    assert [run.info for run in children(place)] == before


def test_our_server_takes_batches_and_says_what_a_database_says(tracking, empty_store, tmp_path):
    study = tell_trials(open_told(tmp_path), N_SYNCED)
    local = open_place(study, tracking, tracking.create_experiment("local"))
    sync(local, study)
    (tmp_path / "server.db").write_bytes(empty_store.read_bytes())
    with serve_gated(tmp_path, f"sqlite:///{tmp_path}/server.db") as url:
        client = mlflow.MlflowClient(url)
        place = open_place(study, client, client.create_experiment("remote"))
        with following(place, study, "studies"):
            tell_trials(study, 6)
        assert sync(place, study) == 0
        sync(local, study)
        assert len(children(place)) == N_SYNCED + 6
        assert [_without_parent(c) for c in contents(place)] == [
            _without_parent(c) for c in contents(local)
        ]
        assert work_in_a_child(place, study) == "KILLED"


def _without_parent(content):
    *rest, params, tags, metrics = content
    return [*rest, params, {k: v for k, v in tags.items() if "parent" not in k}, metrics]
