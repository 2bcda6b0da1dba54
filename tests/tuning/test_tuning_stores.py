"""Where a study lies: a file in Optuna's own format, or a database that machines share."""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from wide_study import NAME, SEARCH, Bowl

from mlflow_ext.errors import SearchError, StoreUnreachableError
from mlflow_ext.tuning import heartbeat
from mlflow_ext.tuning.attributes import ALIVE, OWNER, RETRY_OF
from mlflow_ext.tuning.backend import SETTLE_SECONDS, JournalFile
from mlflow_ext.tuning.journal import open_store, open_study
from mlflow_ext.tuning.stores import DatabaseStore, JournalStore, find_store
from mlflow_ext.tuning.study import run_study


@given(
    entries=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5)), max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=3),
)
def test_what_is_appended_is_read_in_order_from_any_entry_on(tmp_path_factory, entries, cuts):
    path = tmp_path_factory.mktemp("journal") / "a.journal"
    file = JournalFile(path)
    for cut in [0, *sorted(cuts), 12]:
        with file.exclusive():
            seen = len(list(file.read_logs(0)))
            file.append_logs(entries[seen:cut])
            assert list(file.read_logs(0)) == entries[: max(seen, cut)]
    other = JournalFile(path)
    for first in range(len(entries) + 1):
        assert list(file.read_logs(first)) == list(other.read_logs(first)) == entries[first:]


def test_entries_are_written_together_when_the_work_ends_even_by_an_error(tmp_path):
    file, reader = (JournalFile(tmp_path / "a.journal") for _ in range(2))
    with suppress(ZeroDivisionError), file.exclusive():
        file.append_logs([{"a": 1}])
        file.append_logs([{"a": 2}])
        assert list(reader.read_logs(0)) == []
        raise ZeroDivisionError

    assert list(reader.read_logs(0)) == [{"a": 1}, {"a": 2}]


@pytest.fixture
def waits(monkeypatch):
    """How much each file held when this process waited for the disk."""
    seen, fsync = [], os.fsync

    def watch(handle):
        fsync(handle)
        seen.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fsync", watch)
    return seen


def test_quick_pieces_of_work_wait_for_the_disk_together(tmp_path, waits):
    file, begin = JournalFile(tmp_path / "a.journal"), time.monotonic()
    for number in range(300):
        file.append_logs([{"n": number}])
    at_most = 1 + (time.monotonic() - begin) / SETTLE_SECONDS
    assert 1 <= len(waits) <= at_most
    time.sleep(SETTLE_SECONDS)
    file.append_logs([{"intermediate_value": 1.0}])  # which alone would not wait

    assert waits[-1] == (tmp_path / "a.journal").stat().st_size


def test_who_lists_trials_of_others_waits_for_the_disk_first(tmp_path, waits):
    ours, others = (open_study(SEARCH, NAME, tmp_path) for _ in range(2))
    [file] = tmp_path.glob("*.journal")
    ours.get_trials()
    others.tell(others.ask(), 1.0)
    others.tell(others.ask(), 2.0)
    assert waits[-1] < file.stat().st_size
    assert [trial.value for trial in ours.get_trials()] == [1.0, 2.0]
    assert waits[-1] == file.stat().st_size
    before = len(waits)
    assert len(ours.get_trials()) == 2

    assert len(waits) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_work_is_written(tmp_path, number):
    def give_up(number, _):
        raise InterruptedError(number)

    file, before = JournalFile(tmp_path / "a.journal"), signal.signal(number, give_up)
    try:
        with pytest.raises(InterruptedError), file.exclusive():
            file.append_logs([{"a": 1}])
            signal.raise_signal(number)
            file.append_logs([{"a": 2}])
        assert signal.getsignal(number) is give_up
    finally:
        signal.signal(number, before)
    file.append_logs([{"a": 3}])

    assert list(JournalFile(tmp_path / "a.journal").read_logs(0)) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_who_reads_along_from_another_thread_sees_no_entry_twice_or_in_part(tmp_path):
    file, stop, seen = JournalFile(tmp_path / "a.journal"), threading.Event(), []

    def read_along():
        while not stop.is_set():
            seen.append([log["n"] for log in JournalFile(tmp_path / "a.journal").read_logs(0)])

    reader = threading.Thread(target=read_along)
    reader.start()
    for number in range(200):
        file.append_logs([{"n": number, "filling": "x" * 500}])
    stop.set()
    reader.join()

    assert len(seen) > 1
    assert all(numbers == list(range(len(numbers))) for numbers in seen)


def test_optuna_itself_reads_and_extends_the_file(tmp_path):
    run_study(replace(SEARCH, n_trials=3), Bowl(tmp_path), name=NAME, storage_dir=tmp_path)
    [file] = tmp_path.glob("*.journal")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    theirs = optuna.load_study(study_name=NAME, storage=storage)
    theirs.enqueue_trial({"x": 0.5, "y": 0.5})
    run_study(replace(SEARCH, n_trials=5), Bowl(tmp_path), name=NAME, storage_dir=tmp_path)

    assert theirs.trials == open_study(SEARCH, NAME, tmp_path).trials
    assert theirs.trials[3].params == {"x": 0.5, "y": 0.5}


def test_trials_are_listed_as_optuna_lists_them_while_others_change_them(tmp_path):
    ours, others = (open_study(SEARCH, NAME, tmp_path) for _ in range(2))
    plain = optuna.storages.JournalStorage(JournalFileBackend(str(next(tmp_path.glob("*.jou*")))))
    theirs = optuna.load_study(study_name=NAME, storage=plain)
    kinds = [None, (TrialState.WAITING,), (TrialState.RUNNING, TrialState.COMPLETE), ()]
    for step in range(12):
        trial = others.ask()
        if step % 3:
            others.tell(trial, float(step))
        if step % 4 == 0:
            others.enqueue_trial({"x": 0.1})
        for states in kinds:
            assert ours.get_trials(states=states) == theirs.get_trials(states=states)


def test_a_torn_line_that_gives_way_to_others_of_its_length_is_looked_behind(tmp_path):
    ours, others = (open_study(SEARCH, NAME, tmp_path) for _ in range(2))
    [file] = tmp_path.glob("*.journal")
    assert ours.get_trials() == []
    whole = file.read_bytes()
    others.ask()
    line = file.read_bytes()[len(whole) :]
    file.write_bytes(whole + b"x" * len(line))
    assert ours.get_trials() == []
    file.write_bytes(whole + line)

    assert len(ours.get_trials()) == 1


POINTS = tuple({"x": place, "y": place} for place in (0.5, 0.25, 0.125))


def share(url, folder):
    search = replace(SEARCH, n_trials=16, storage=url, enqueue=POINTS)
    run_study(search, Bowl(folder, 0.02), name=NAME, storage_dir=folder)


@pytest.mark.parametrize("kind", ["postgres", "proxy"])
def test_two_machines_share_a_study_and_count_it_exactly(request, tmp_path, kind):
    url, spawn = request.getfixturevalue(kind), multiprocessing.get_context("spawn")
    machines = [spawn.Process(target=share, args=(url, tmp_path)) for _ in range(2)]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    trials = open_study(replace(SEARCH, storage=url, enqueue=POINTS), NAME, tmp_path).trials

    assert [machine.exitcode for machine in machines] == [0, 0]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 16
    assert [trial.params for trial in trials[:3]] == list(POINTS)
    assert len({tuple(trial.params.values()) for trial in trials}) == 16
    assert list(tmp_path.iterdir()) == []


def test_workers_of_one_machine_serve_a_study_in_a_database(tmp_path):
    search = replace(SEARCH, n_trials=6, workers=2, storage=f"sqlite:///{tmp_path}/study.db")
    result = run_study(
        search, Bowl(tmp_path, special=(2, "killed")), name=NAME, storage_dir=tmp_path
    )
    trials = open_study(search, NAME, tmp_path).trials

    assert (result.n_complete, result.n_failed) == (6, 1)
    assert [t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs] == [2]


@pytest.mark.parametrize(("silent_for", "is_repeated"), [(300, True), (5, False)])
def test_a_trial_of_another_machine_is_repeated_when_that_has_long_been_silent(
    tmp_path, silent_for, is_repeated
):
    search = replace(SEARCH, n_trials=2, storage=f"sqlite:///{tmp_path}/study.db")
    study, elsewhere = open_study(search, NAME, tmp_path), "elsewhere.example.org:1:1.0"
    study.set_user_attr(ALIVE + elsewhere, time.time() - silent_for)
    study.ask().set_user_attr(OWNER, elsewhere)
    result = run_study(search, Bowl(tmp_path), name=NAME, storage_dir=tmp_path)

    assert (result.n_complete, result.n_failed) == ((2, 1) if is_repeated else (1, 0))
    assert study.trials[0].state is (TrialState.FAIL if is_repeated else TrialState.RUNNING)


def test_who_gives_out_trials_of_a_database_shows_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    search = replace(SEARCH, n_trials=1, storage=f"sqlite:///{tmp_path}/study.db")
    run_study(search, Bowl(tmp_path, 1.0), name=NAME, storage_dir=tmp_path)
    study = open_study(search, NAME, tmp_path)
    [trial] = study.trials

    last = study.user_attrs[ALIVE + trial.user_attrs[OWNER]]
    assert trial.datetime_start.timestamp() < last, "also while the trial runs"


def hold(url, held):
    with find_store(replace(SEARCH, storage=url), NAME, Path()).exclusive():
        held.set()
        multiprocessing.Event().wait()


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql", "proxy"])
def test_the_lock_of_a_shared_place_ends_with_who_held_it(request, tmp_path, kind):
    local = f"sqlite:///{tmp_path}/study.db"
    url = local if kind == "sqlite" else request.getfixturevalue(kind)
    spawn = multiprocessing.get_context("spawn")
    held, entered = spawn.Event(), threading.Event()
    holder = spawn.Process(target=hold, args=(url, held))
    holder.start()
    assert held.wait(60)

    def enter():
        store = find_store(replace(SEARCH, storage=url), NAME, Path())
        with store.exclusive(), store.exclusive():
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.5)
    holder.kill()
    holder.join()
    waiting.join(60)
    assert entered.is_set()


def test_a_database_that_does_not_answer_is_an_error_without_its_password(tmp_path):
    url = "postgresql+psycopg2://me:secret@127.0.0.1:1/studies"

    with pytest.raises(StoreUnreachableError, match="study database") as error:
        open_study(replace(SEARCH, storage=url), NAME, tmp_path)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["studies", "postgres//x"])
def test_what_is_no_url_of_a_database_is_refused(tmp_path, url):
    with pytest.raises(StoreUnreachableError, match="correct 'storage'"):
        open_study(replace(SEARCH, storage=url), NAME, tmp_path)


def test_a_search_knows_its_place(tmp_path):
    journal = open_store(SEARCH, NAME, tmp_path)
    url = f"sqlite:///{tmp_path}/study.db"
    database = open_store(replace(SEARCH, storage=url), NAME, tmp_path)

    assert isinstance(journal, JournalStore)
    assert journal.where.endswith(".journal")
    assert (type(database), database.where) == (DatabaseStore, url)


def test_another_search_on_a_database_is_refused_too(tmp_path):
    shared = replace(SEARCH, storage=f"sqlite:///{tmp_path}/study.db")
    open_study(shared, NAME, tmp_path)

    with pytest.raises(SearchError, match="begun with another search"):
        open_study(replace(shared, seed=9), NAME, tmp_path)
