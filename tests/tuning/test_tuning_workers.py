"""Many processes, one study: counted exactly, nothing lost when one dies, none left behind."""

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
import wide_study
from optuna.trial import TrialState
from wide_study import NAME, SEARCH, Bowl, Unloadable

from mlflow_ext.errors import SearchError, TableError
from mlflow_ext.process import current_process
from mlflow_ext.tuning.attributes import ERROR, OWNER, RETRY_OF
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.study import run_study


def run(folder, objective, n_trials=12, **changes):
    search = replace(SEARCH, n_trials=n_trials, workers=2, **changes)
    return run_study(search, objective, name=NAME, storage_dir=folder)


def trials_of(folder, **changes):
    return open_study(replace(SEARCH, **changes), NAME, folder).trials


def assert_whole(trials, n_trials):
    """So many trials were told, each once, and whatever was cut off was repeated alike."""
    repeats = {t.user_attrs[RETRY_OF]: t for t in trials if RETRY_OF in t.user_attrs}
    assert all(trial.state.is_finished() for trial in trials)
    assert len(trials) - len(repeats) == n_trials
    assert [t.number for t in trials if t.state is TrialState.FAIL] == sorted(repeats)
    for number, repeat in repeats.items():
        assert repeat.params == trials[number].params
    complete = [t.params for t in trials if t.state is TrialState.COMPLETE]
    assert len({tuple(params.items()) for params in complete}) == n_trials


def test_several_workers_run_exactly_the_trials_asked_for(tmp_path):
    result = run(tmp_path, Bowl(tmp_path, meets=True), 40)
    trials = trials_of(tmp_path)

    assert_whole(trials, 40)
    assert result.n_complete == 40
    assert {trial.user_attrs[OWNER] for trial in trials} == {current_process()}
    first, second = trials[:2]
    assert second.datetime_start < first.datetime_complete, "side by side"
    assert multiprocessing.active_children() == []


def test_workers_that_share_trials_draw_what_one_would_have_drawn(tmp_path):
    run(tmp_path / "many", Bowl(tmp_path), 10)
    alone = replace(SEARCH, n_trials=10)
    run_study(alone, Bowl(tmp_path), name=NAME, storage_dir=tmp_path / "one")

    many, one = (trials_of(tmp_path / folder) for folder in ("many", "one"))
    assert [trial.params for trial in many] == [trial.params for trial in one]


def test_a_worker_that_is_killed_is_replaced_and_its_trial_repeated(tmp_path):
    result = run(tmp_path, Bowl(tmp_path, special=(3, "killed")))
    trials = trials_of(tmp_path)

    assert_whole(trials, 12)
    assert (result.n_complete, result.n_failed) == (12, 1)
    assert [t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs] == [3]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("raised", "ZeroDivisionError: no rows left"),
        ("unreadable", "UnreadableError without a text"),
        ("halved", "TypeError: 'float' object cannot be interpreted as an integer"),
    ],
)
def test_what_the_objective_raises_in_a_worker_fails_that_trial_alone(tmp_path, what, reason):
    result = run(tmp_path, Bowl(tmp_path, special=(5, what)))
    trials = trials_of(tmp_path)

    assert (result.n_complete, result.n_failed, len(trials)) == (11, 1, 12)
    assert trials[5].user_attrs[ERROR] == reason
    assert trials[6].intermediate_values == {1: trials[6].params["x"]}


def test_an_error_of_the_suite_in_a_worker_ends_the_study_and_costs_no_trial(tmp_path):
    with pytest.raises(TableError, match="bring it back"):
        run(tmp_path, Bowl(tmp_path, special=(5, "refused")))
    assert multiprocessing.active_children() == []
    assert not [t for t in trials_of(tmp_path) if t.state is TrialState.RUNNING]

    run(tmp_path, Bowl(tmp_path))
    assert_whole(trials_of(tmp_path), 12)


def test_an_objective_that_cannot_be_pickled_is_refused_before_any_process(tmp_path):
    with pytest.raises(SearchError, match="cannot be sent to another process") as error:
        run(tmp_path, lambda trial: 0.0)

    assert "no lambda" in error.value.expected
    assert trials_of(tmp_path) == []


def test_an_objective_that_a_worker_cannot_load_is_told_with_the_cause(tmp_path):
    with pytest.raises(SearchError, match="no_such_module_at_all"):
        run(tmp_path, Unloadable())


def test_a_program_without_a_guard_is_told_what_is_missing(tmp_path):
    program = tmp_path / "unguarded.py"
    source = f"""
        import sys
        sys.path.insert(0, {wide_study.__file__.rpartition("/")[0]!r})
        from dataclasses import replace
        from pathlib import Path
        from wide_study import SEARCH, Bowl
        from mlflow_ext.tuning.study import run_study
        here = Path({str(tmp_path)!r})
        run_study(replace(SEARCH, workers=2), Bowl(here), name="a", storage_dir=here)
    """
    program.write_text("\n".join(line.strip() for line in source.splitlines()))
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "if __name__ == '__main__':" in ended.stderr.splitlines()[-1]


def begin(folder, n_trials, workers):
    command = [sys.executable, wide_study.__file__, str(folder), str(n_trials), str(workers)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout.readline().strip() == "READY"
    return process


def wait_for_trials(folder, more_than):
    deadline = time.monotonic() + 60
    while len(trials_of(folder)) <= more_than and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.slow
def test_after_ten_kills_at_random_moments_the_trials_told_are_whole(tmp_path):
    moments = random.Random(0)
    for _ in range(10):
        before = len(trials_of(tmp_path))
        process = begin(tmp_path, 10_000, 1)
        wait_for_trials(tmp_path, before)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.wait()
    n_trials = len([t for t in trials_of(tmp_path) if RETRY_OF not in t.user_attrs]) + 5
    search = replace(SEARCH, n_trials=n_trials)
    run_study(search, Bowl(tmp_path), name=NAME, storage_dir=tmp_path)
    trials = trials_of(tmp_path)

    assert_whole(trials, n_trials)
    assert len(trials) - n_trials >= 5, "most kills hit a running trial"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_when_who_keeps_the_study_ends_its_workers_end_and_the_next_one_goes_on(tmp_path, how):
    process = begin(tmp_path, 10_000, 2)
    wait_for_trials(tmp_path, 3)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.send_signal(how)
    process.wait(timeout=30)
    _, alive = psutil.wait_procs(workers, timeout=30)

    assert alive == []
    left = [t for t in trials_of(tmp_path) if t.state is TrialState.RUNNING]
    assert len(left) <= (2 if how is signal.SIGKILL else 0)
    n_trials = len([t for t in trials_of(tmp_path) if RETRY_OF not in t.user_attrs]) + 4
    run(tmp_path, Bowl(tmp_path), n_trials)
    assert_whole(trials_of(tmp_path), n_trials)
