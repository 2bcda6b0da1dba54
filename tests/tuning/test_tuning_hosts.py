"""Many machines, one study: one run holds its trials and its record, whoever ends first."""

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import pytest
import shared_study
from wide_study import NAME, SEARCH

from mlflow_ext.errors import MlflowExtError, SearchError
from mlflow_ext.process import current_process
from mlflow_ext.tuning.attributes import ALIVE, SESSION, TRIAL
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.mirror.place import PARENT
from mlflow_ext.tuning.sessions import working

N_TRIALS = 40
N_PROCESSES = 3


def test_who_works_on_a_database_shows_life_until_the_end(tmp_path):
    search = replace(SEARCH, storage=f"sqlite:///{tmp_path}/study.db")
    study = open_study(search, NAME, tmp_path)
    with working(study, "a" * 32, is_shared=True):
        assert ALIVE + current_process() in study.user_attrs
        assert not study.user_attrs[SESSION + "a" * 32]["is_over"]
    assert study.user_attrs[SESSION + "a" * 32]["is_over"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "grpc"])
def test_two_machines_that_share_a_study_leave_one_run_with_all_of_it(
    request, tracking, tmp_path, kind
):
    local = f"sqlite:///{tmp_path}/s.db"
    url = local if kind == "sqlite" else request.getfixturevalue("proxy")
    # Of two that make one, MLflow leaves the slower in the experiment that it was in before.
    tracking.create_experiment("shared")
    command = [sys.executable, shared_study.__file__, url, str(N_TRIALS)]
    with ExitStack() as stack:
        both = []
        for number in range(2):
            folder = tmp_path / f"host-{number}"  # a lock of one machine is none of the other
            folder.mkdir()
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"TMPDIR": str(folder)},
            )
            both.append(stack.enter_context(process))
        for process in both:
            assert process.stdout.readline().strip() == "READY"
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.wait(120) for process in both] == [0, 0]
        ids = {process.stdout.read().strip() for process in both}

    (experiment,) = [e for e in tracking.search_experiments() if e.name == "shared"]
    runs = tracking.search_runs([experiment.experiment_id])
    shown = [run for run in runs if TRIAL in run.data.tags]
    (holder,) = {run.data.tags[PARENT] for run in shown}
    assert sorted(int(run.data.tags[TRIAL]) for run in shown) == list(range(N_TRIALS))
    assert {run.info.run_id for run in runs} - {run.info.run_id for run in shown} == ids
    assert Counter(run.info.status for run in runs) == {"FINISHED": N_TRIALS + 2}
    assert tracking.get_run(holder).data.metrics["study.n_complete"] == N_TRIALS
    (joined,) = ids - {holder}
    data = tracking.get_run(joined).data
    assert data.tags["mlflow_ext.study.run"] == holder
    assert "study.n_complete" not in data.metrics


# --- the database ---------------------------------------------------------------------------------


def begin_all(urls, folder, barrier, answers):
    for url in urls:
        barrier.wait(60)
        try:
            answers.put(open_study(replace(SEARCH, storage=url), NAME, folder).study_name)
        except MlflowExtError as error:
            answers.put(str(error))


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "proxy"])
def test_several_processes_may_be_the_first_on_a_new_database(request, tmp_path, kind):
    if kind == "sqlite":
        urls = [f"sqlite:///{tmp_path}/study-{number}.db" for number in range(10)]
    else:
        urls = [request.getfixturevalue(kind)]
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(N_PROCESSES), spawn.SimpleQueue()
    given = (urls, tmp_path, barrier, answers)
    processes = [spawn.Process(target=begin_all, args=given) for _ in range(N_PROCESSES)]
    for process in processes:
        process.start()
    said = [answers.get() for _ in range(N_PROCESSES * len(urls))]
    for process in processes:
        process.join(60)

    assert set(said) == {NAME}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("grpc://", "no address of a gRPC proxy"),
        ("grpc://host:port", "no address of a gRPC proxy"),
        ("grpc://host:13000/studies", "no address of a gRPC proxy"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("oracle://host/studies", "kind 'oracle'"),
    ],
)
def test_a_place_that_cannot_hold_a_shared_study_is_refused_with_the_reason(
    tmp_path, monkeypatch, url, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SearchError, match=words):
        open_study(replace(SEARCH, storage=url), NAME, tmp_path)
    assert list(tmp_path.iterdir()) == []
