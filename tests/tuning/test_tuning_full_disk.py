"""A disk without room costs what was not told yet, and no more than that."""

import multiprocessing
import resource
import signal
from dataclasses import replace

import pytest
from wide_study import NAME, SEARCH, Bowl

from mlflow_ext.errors import StoreUnreachableError
from mlflow_ext.tuning.backend import JournalFile
from mlflow_ext.tuning.journal import journal_file, open_study
from mlflow_ext.tuning.study import run_study

ROOM = 2000


def leave_room(file):
    """Let this process write so far and no further: like a full disk, in the middle of a line."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = file.stat().st_size + ROOM
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def make_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def search_without_room(folder, answers):
    leave_room(journal_file(NAME, folder))
    try:
        run_study(replace(SEARCH, n_trials=400), Bowl(folder), name=NAME, storage_dir=folder)
    except StoreUnreachableError as error:
        answers.put(str(error))
    make_room()  # in a notebook, the process that goes on is the same
    run_study(replace(SEARCH, n_trials=20), Bowl(folder), name=NAME, storage_dir=folder)
    trials = open_study(SEARCH, NAME, folder).trials
    answers.put(all(trial.state.is_finished() for trial in trials))


def write_twice(file, answers):
    journal = JournalFile(file)
    journal.append_logs([{"n": 0}])
    leave_room(file)
    for entry in ({"n": 1, "text": "x" * 2 * ROOM}, {"n": 2}):
        try:
            journal.append_logs([entry])
        except StoreUnreachableError as error:
            answers.put(str(error))
    make_room()
    other = JournalFile(file)
    other.append_logs([{"n": 3}])
    answers.put([log["n"] for log in other.read_logs(0)])


def in_a_process(job, where):
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.SimpleQueue()
    process = spawn.Process(target=job, args=(where, answers))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    while not answers.empty():
        yield answers.get()


def test_what_does_not_fit_is_not_written_at_all_and_the_next_process_goes_on(tmp_path):
    *refusals, entries = in_a_process(write_twice, tmp_path / "x.journal")

    assert entries == [0, 3], "nothing that was built on what is lost is written either"
    assert [refusal.partition(": ")[2].partition("\n")[0] for refusal in refusals] == [
        "File too large"
    ] * 2


@pytest.mark.parametrize("n_before", [1, 10])
def test_a_search_says_that_there_is_no_room_and_goes_on_when_there_is(tmp_path, n_before):
    first = run_study(
        replace(SEARCH, n_trials=n_before), Bowl(tmp_path), name=NAME, storage_dir=tmp_path
    )
    assert first.n_complete == n_before
    said, is_whole = in_a_process(search_without_room, tmp_path)
    assert is_whole
    assert "File too large" in said
    assert "make room there and call again" in said

    there = open_study(SEARCH, NAME, tmp_path).trials
    assert len(there) > n_before
    result = run_study(
        replace(SEARCH, n_trials=30), Bowl(tmp_path), name=NAME, storage_dir=tmp_path
    )
    assert result.n_complete == 30
    assert all(trial.state.is_finished() for trial in open_study(SEARCH, NAME, tmp_path).trials)
