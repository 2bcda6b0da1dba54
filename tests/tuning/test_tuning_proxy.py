"""Where machines reach Optuna's proxy alone: who is next, who is gone, and what is said of it."""

import sys
import threading
import time
from dataclasses import replace

import optuna
import pytest
from proxy_server import serve_proxy
from servers import free_port
from wide_study import NAME, SEARCH, Bowl

from mlflow_ext.errors import SearchError, StoreUnreachableError
from mlflow_ext.tuning import heartbeat
from mlflow_ext.tuning.attributes import ALIVE, OWNER
from mlflow_ext.tuning.catalog import find_study, list_studies
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.proxy import TicketQueue
from mlflow_ext.tuning.study import run_study

ELSEWHERE = "elsewhere.example.org:1:1.0"


@pytest.fixture
def storage(tmp_path):
    return optuna.storages.get_storage(f"sqlite:///{tmp_path}/tickets.db")


def draw(storage, owner):
    """Draw a ticket as a process elsewhere would."""
    drawn = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING, user_attrs={OWNER: owner}
    )
    TicketQueue(storage, NAME)
    return storage.create_new_trial(study_id(storage), drawn)


def study_id(storage):
    [study] = storage.get_all_studies()
    return study._study_id


def test_turns_are_taken_in_the_order_of_asking(storage):
    queue, order, threads = TicketQueue(storage, NAME), [], []

    def take(number):
        with queue.turn():
            order.append(number)

    with queue.turn():
        for number in range(3):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(storage.get_all_trials(study_id(storage))) < number + 2:
                time.sleep(0.01)
        assert order == []
    for thread in threads:
        thread.join()

    assert order == [0, 1, 2]


def test_who_dies_elsewhere_is_passed_over_once_silent_for_long(storage, monkeypatch):
    monkeypatch.setattr(heartbeat, "GRACE_SECONDS", 0.3)
    ticket, begin = draw(storage, ELSEWHERE), time.monotonic()
    with TicketQueue(storage, NAME).turn():
        assert time.monotonic() - begin > 0.3
        assert storage.get_trial(ticket).state.is_finished()


def test_who_shows_life_elsewhere_is_waited_for(storage, monkeypatch):
    monkeypatch.setattr(heartbeat, "GRACE_SECONDS", 0.5)
    ticket, stop = draw(storage, ELSEWHERE), threading.Event()

    def work():
        for second in range(20):
            storage.set_trial_user_attr(ticket, ALIVE, second)
            time.sleep(0.1)
        stop.set()
        storage.set_trial_state_values(ticket, optuna.trial.TrialState.COMPLETE, [0.0])

    worker = threading.Thread(target=work)
    worker.start()
    with TicketQueue(storage, NAME).turn():
        assert stop.is_set()
    worker.join()


def test_who_waits_or_works_shows_life(storage, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.02)
    with TicketQueue(storage, NAME).turn():
        [ticket] = storage.get_all_trials(study_id(storage))
        while ALIVE not in storage.get_trial(ticket._trial_id).user_attrs:
            time.sleep(0.01)
    assert storage.get_trial(ticket._trial_id).state.is_finished()


def end_all(storage):
    for ticket in storage.get_all_trials(study_id(storage)):
        storage.set_trial_state_values(ticket._trial_id, optuna.trial.TrialState.COMPLETE, [0.0])


def test_who_was_taken_for_dead_is_told_so(storage):
    with (
        pytest.raises(SearchError, match="run the command again"),
        TicketQueue(storage, NAME).turn(),
    ):
        end_all(storage)


def test_who_was_taken_for_dead_while_waiting_does_not_go_in(storage):
    first, said, went_in = draw(storage, ELSEWHERE), [], threading.Event()

    def wait():
        try:
            with TicketQueue(storage, NAME).turn():
                went_in.set()
        except SearchError as error:
            said.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while len(storage.get_all_trials(study_id(storage))) < 2:
        time.sleep(0.01)
    mine = max(ticket._trial_id for ticket in storage.get_all_trials(study_id(storage)))
    for ticket in (mine, first):
        storage.set_trial_state_values(ticket, optuna.trial.TrialState.COMPLETE, [0.0])
    waiting.join(60)

    assert "another went on" in said[0]
    assert not went_in.is_set()


def test_studies_behind_a_proxy_are_listed_without_their_tickets(proxy, tmp_path):
    search = replace(SEARCH, storage=proxy, n_trials=3)
    run_study(search, Bowl(tmp_path), name="it's [ünusual]", storage_dir=tmp_path)

    [summary] = list_studies(proxy)
    assert (summary.name, summary.trials) == ("it's [ünusual]", {"complete": 3})
    assert len(find_study(proxy, "it's [ünusual]").trials) == 3


def test_a_proxy_that_dies_in_the_middle_is_named_and_the_study_goes_on(postgres, tmp_path):
    with serve_proxy(postgres, free_port()) as (url, process):
        search = replace(SEARCH, storage=url, n_trials=6)

        class Fatal(Bowl):
            def __call__(self, trial):
                if trial.number == 2:
                    process.kill()
                    process.wait()
                return super().__call__(trial)

        with pytest.raises(StoreUnreachableError, match="the study goes on"):
            run_study(search, Fatal(tmp_path), name=NAME, storage_dir=tmp_path)
    with serve_proxy(postgres, free_port()) as (url, _):
        search = replace(search, storage=url)
        result = run_study(search, Bowl(tmp_path), name=NAME, storage_dir=tmp_path)
        trials = open_study(search, NAME, tmp_path).trials

    assert result.n_complete == 6
    assert not [trial for trial in trials if not trial.state.is_finished()]


@pytest.mark.parametrize("look", [lambda url, _: list_studies(url), None])
def test_a_proxy_that_does_not_answer_is_named(tmp_path, monkeypatch, look):
    monkeypatch.setattr("mlflow_ext.tuning.proxy.WAIT_SECONDS", 0.2)
    url = f"grpc://127.0.0.1:{free_port()}"
    look = look or (lambda url, folder: open_study(replace(SEARCH, storage=url), NAME, folder))
    with pytest.raises(StoreUnreachableError, match="run_grpc_proxy_server") as error:
        look(url, tmp_path)
    assert url in str(error.value)


def test_without_grpcio_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(SearchError, match=r"mlflow-ext\[grpc\]"):
        open_study(replace(SEARCH, storage="grpc://host"), NAME, tmp_path)
