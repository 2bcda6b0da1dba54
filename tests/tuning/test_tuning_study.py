"""A study runs what is missing of it, repeats what was cut off, and says what it found."""

import math
import multiprocessing
import os
import socket
from dataclasses import replace

import numpy as np
import optuna
import psutil
import pytest
from optuna.trial import TrialState
from tiny_study import NAME, SEARCH, essence

from mlflow_ext.errors import SearchError
from mlflow_ext.process import current_process
from mlflow_ext.tuning.attributes import ATTEMPT, ERROR, OWNER, RETRY_OF
from mlflow_ext.tuning.desk import MAX_ATTEMPTS
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.space import suggest
from mlflow_ext.tuning.study import run_study

DEAD = "{}:1:1.0".format(current_process().rsplit(":", 2)[0])
PARENT = psutil.Process().parent()
ALIVE = f"{socket.gethostname()}:{PARENT.pid}:{PARENT.create_time():.2f}"
ELSEWHERE = "elsewhere.example.org:1:1.0"


def bowl(trial):
    params = suggest(trial, SEARCH.space)
    for step in range(2):
        trial.report(-abs(params["slope"]), step)
        if step == 0 and trial.should_prune():
            raise optuna.TrialPruned
    return -((params["slope"] - 0.5) ** 2) - math.log(params["scale"]) ** 2


def bowl_without_reports(trial):
    return -((suggest(trial, SEARCH.space)["slope"] - 0.5) ** 2)


def run(folder, n_trials=14, objective=bowl, **changes):
    search = replace(SEARCH, n_trials=n_trials, **changes)
    return run_study(search, objective, name=NAME, storage_dir=folder)


def trials_of(folder, **changes):
    return open_study(replace(SEARCH, **changes), NAME, folder).trials


def begin_and_vanish(folder, owner, params=None):
    """Leave a trial behind as a process does that is killed while it runs one."""
    study = open_study(SEARCH, NAME, folder)
    trial = study.ask()
    if owner:
        trial.set_user_attr(OWNER, owner)
    for name, value in (params or {}).items():
        assert trial.suggest_float(name, value, value) == value
    return trial.number


def test_the_result_names_the_best_trial_and_counts_all(tmp_path):
    result = run(tmp_path, 20)
    trials = trials_of(tmp_path)
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    best = max(complete, key=lambda t: t.value)

    assert (result.name, result.best_trial) == (NAME, best.number)
    assert (result.best_value, result.best_params) == (best.value, best.params)
    assert result.n_complete == len(complete)
    assert result.n_pruned == 20 - len(complete) > 0
    assert result.n_failed == 0
    assert result.seconds == pytest.approx(sum(t.duration.total_seconds() for t in trials))


def test_a_search_that_minimizes_finds_the_smallest(tmp_path):
    result = run(tmp_path, 6, lambda t: -bowl(t), direction="minimize", pruner="none")

    values = [trial.value for trial in trials_of(tmp_path, direction="minimize", pruner="none")]
    assert result.best_value == min(values)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_equal_seeds_give_equal_trials(tmp_path, sampler, pruner):
    kinds = {"sampler": sampler, "pruner": pruner}
    for folder in ("a", "b"):
        run(tmp_path / folder, 16, **kinds)
    run(tmp_path / "c", 16, seed=99, **kinds)
    first, second = (essence(trials_of(tmp_path / f, **kinds)) for f in ("a", "b"))

    assert first == second
    assert first != essence(trials_of(tmp_path / "c", seed=99, **kinds))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_a_study_that_goes_on_runs_only_what_is_missing_and_proposes_the_same(
    tmp_path, sampler, pruner
):
    kinds, seen = {"sampler": sampler, "pruner": pruner}, []

    def noted(trial):
        seen.append(trial.number)
        return bowl(trial)

    run(tmp_path / "whole", 18, **kinds)
    for n_trials in (4, 4, 13, 18):
        run(tmp_path / "parts", n_trials, noted, **kinds)

    assert seen == list(range(18))
    whole, parts = (essence(trials_of(tmp_path / f, **kinds)) for f in ("whole", "parts"))
    assert parts == whole


def test_a_study_that_has_enough_trials_runs_none(tmp_path):
    first = run(tmp_path, 5)

    assert run(tmp_path, 5, lambda trial: pytest.fail("ran")) == first
    assert run(tmp_path, 3, lambda trial: pytest.fail("ran")) == first


def test_after_the_timeout_no_trial_begins_and_the_next_call_goes_on(tmp_path):
    run(tmp_path, 10, timeout=1e-9)
    assert len(trials_of(tmp_path)) == 1

    run(tmp_path, 10)
    assert len(trials_of(tmp_path)) == 10


def test_a_trial_that_raises_is_recorded_counted_and_passed_over(tmp_path):
    def fragile(trial):
        if trial.number == 2:
            raise ZeroDivisionError("no rows left")
        return bowl(trial)

    result = run(tmp_path, 6, fragile)
    failed = trials_of(tmp_path)[2]

    assert (result.n_failed, result.n_complete + result.n_pruned) == (1, 5)
    assert failed.state is TrialState.FAIL
    assert failed.user_attrs[ERROR] == "ZeroDivisionError: no rows left"


@pytest.mark.parametrize("value", [math.nan, None, "high"])
def test_a_value_that_is_no_number_fails_the_trial_with_the_reason(tmp_path, value):
    result = run(tmp_path, 3, lambda t: value if t.number == 1 else bowl(t))

    assert result.n_failed == 1
    assert "Error: " in trials_of(tmp_path)[1].user_attrs[ERROR]


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


def told_by(trial, what):
    """Do in trial 1 what an objective should not, and in the others what it may."""
    if trial.number == 1 and what == "mute":
        raise MuteError
    trial.report(0.5, what if trial.number == 1 else np.int64(trial.number))
    return bowl_without_reports(trial)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (-1, "ValueError: the step of a report is -1, and not from 0 to 2147483647"),
        (2**31, "ValueError: the step of a report is 2147483648, and not from 0"),
        (0.5, "TypeError: 'float' object cannot be interpreted as an integer"),
        ("1", "TypeError: 'str' object"),
        ("mute", "MuteError without a text"),
    ],
)
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_what_an_objective_should_not_do_fails_its_trial_with_the_reason(
    tmp_path, what, reason, pruner
):
    result = run(tmp_path, 3, lambda trial: told_by(trial, what), pruner=pruner)
    trials = trials_of(tmp_path, pruner=pruner)

    assert (result.n_complete, result.n_failed) == (2, 1)
    assert trials[1].user_attrs[ERROR].startswith(reason)
    assert trials[2].intermediate_values == {2: 0.5}


def test_a_trial_that_cannot_be_told_is_not_left_running(tmp_path):
    def unspeakable(trial):
        if trial.number == 1:
            trial.user_attrs["answer"] = object()
        return bowl_without_reports(trial)

    with pytest.raises(TypeError, match="not JSON serializable"):
        run(tmp_path, 3, unspeakable)
    assert [trial.state.name for trial in trials_of(tmp_path)] == ["COMPLETE", "FAIL", "WAITING"]


def test_an_infinite_value_completes_but_never_wins(tmp_path):
    result = run(tmp_path, 4, lambda t: math.inf if t.number == 1 else bowl(t), pruner="none")

    assert trials_of(tmp_path, pruner="none")[1].value == math.inf
    assert result.n_complete == 4
    assert math.isfinite(result.best_value)
    assert result.best_trial != 1


def test_a_study_without_a_completed_trial_names_the_most_common_cause(tmp_path):
    def hopeless(trial):
        raise (KeyError("seldom") if trial.number == 0 else ValueError("too few rows"))

    with pytest.raises(SearchError) as error:
        run(tmp_path, 4, hopeless)
    assert "4 FAIL" in error.value.found
    assert "(3 times): ValueError: too few rows" in error.value.found
    assert "another study name" in error.value.fix


def test_a_study_of_pruned_or_infinite_trials_has_no_best(tmp_path):
    def pruned_or_infinite(trial):
        if trial.number % 2:
            raise optuna.TrialPruned
        return -math.inf

    with pytest.raises(SearchError, match="2 COMPLETE, 2 PRUNED"):
        run(tmp_path, 4, pruned_or_infinite)


@pytest.mark.parametrize("error", [SearchError("a", "b", "c"), KeyboardInterrupt()])
def test_an_error_that_concerns_all_trials_ends_the_study_and_costs_none(tmp_path, error):
    def interrupted(trial):
        if trial.number == 12:
            suggest(trial, SEARCH.space)
            raise error
        return bowl(trial)

    with pytest.raises(type(error)):
        run(tmp_path / "cut", 14, interrupted)
    assert not [t for t in trials_of(tmp_path / "cut") if t.state is TrialState.RUNNING]

    run(tmp_path / "cut", 14)
    run(tmp_path / "whole", 14)
    assert essence(trials_of(tmp_path / "cut")) == essence(trials_of(tmp_path / "whole"))
    assert len(trials_of(tmp_path / "cut")) == 15


@pytest.mark.parametrize("owner", [DEAD, None], ids=["dead", "unnamed"])
def test_a_trial_whose_process_is_gone_is_ended_and_repeated(tmp_path, owner):
    run(tmp_path, 3)
    stale = begin_and_vanish(tmp_path, owner)
    result = run(tmp_path, 5)
    trials = trials_of(tmp_path)

    assert trials[stale].state is TrialState.FAIL
    assert (trials[stale + 1].user_attrs[RETRY_OF], trials[stale + 1].state.name) == (3, "COMPLETE")
    assert result.n_complete + result.n_pruned == 5
    run(tmp_path / "whole", 5)
    assert essence(trials) == essence(trials_of(tmp_path / "whole"))


def test_a_repeated_trial_has_the_parameters_of_the_one_it_repeats(tmp_path):
    search = replace(SEARCH, space={"slope": SEARCH.space["slope"]}, n_trials=1)
    study = open_study(search, NAME, tmp_path)
    study.enqueue_trial({"slope": 1.234}, user_attrs={OWNER: DEAD})
    suggest(study.ask(), search.space)
    result = run_study(
        search, lambda t: suggest(t, search.space)["slope"], name=NAME, storage_dir=tmp_path
    )

    assert (result.best_trial, result.best_params) == (1, {"slope": 1.234})


def test_a_trial_that_this_process_gave_out_and_lost_is_repeated(tmp_path):
    lost = begin_and_vanish(tmp_path, current_process())
    result = run(tmp_path, 5)

    assert trials_of(tmp_path)[lost].state is TrialState.FAIL
    assert (result.n_complete, result.n_failed) == (5, 1)


def test_two_searches_of_one_process_leave_each_others_trials_alone(tmp_path):
    def search_beside(trial):
        if trial.number == 0:
            run(tmp_path, 3)
        return bowl(trial)

    result = run(tmp_path, 4, search_beside)

    assert [trial.state for trial in trials_of(tmp_path)] == [TrialState.COMPLETE] * 4
    assert result.n_failed == 0


@pytest.mark.parametrize("owner", [ALIVE, ELSEWHERE], ids=["alive", "elsewhere"])
def test_a_trial_whose_process_lives_or_is_unknown_is_left_alone_and_counts(tmp_path, owner):
    running = begin_and_vanish(tmp_path, owner)
    result = run(tmp_path, 5)
    trials = trials_of(tmp_path)

    assert trials[running].state is TrialState.RUNNING
    assert len(trials) == 5
    assert result.n_failed == 0


def die_in_the_second_trial(folder):
    run(folder, 3, lambda trial: os._exit(9) if trial.number else bowl(trial))


def test_parameters_that_end_every_process_are_given_up(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    for _ in range(MAX_ATTEMPTS):
        process = spawn.Process(target=die_in_the_second_trial, args=(tmp_path,))
        process.start()
        process.join()
        assert process.exitcode == 9
    result = run(tmp_path, 3)
    trials = trials_of(tmp_path)

    assert [t.user_attrs.get(ATTEMPT, 1) for t in trials[1:-1]] == list(range(1, MAX_ATTEMPTS + 1))
    assert (trials[-1].state, RETRY_OF in trials[-1].user_attrs) == (TrialState.COMPLETE, False)
    assert (result.n_complete, result.n_failed) == (2, MAX_ATTEMPTS)


def test_an_interruption_is_not_held_against_the_parameters(tmp_path):
    def interrupt(trial):
        raise KeyboardInterrupt

    for _ in range(MAX_ATTEMPTS + 1):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, 1, interrupt)

    assert run(tmp_path, 1).n_complete == 1


def work(folder, n_trials, both_run):
    seen = []

    def meet_once(trial):
        if not seen:
            both_run.wait(60)  # each runs a trial while the other one does
        seen.append(trial.number)
        return bowl(trial)

    run_study(replace(SEARCH, n_trials=n_trials), meet_once, name=NAME, storage_dir=folder)


def test_processes_that_share_a_study_never_take_each_other_for_dead(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    both_run = spawn.Barrier(2)
    workers = [spawn.Process(target=work, args=(tmp_path, 24, both_run)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    trials = trials_of(tmp_path)

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(trials) == 24
    assert len({trial.user_attrs[OWNER] for trial in trials}) == 2
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert not [t for t in trials if RETRY_OF in t.user_attrs]
