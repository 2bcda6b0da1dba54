"""kill -9 at random moments of the whole, then resume: nothing lost, doubled or left running."""

import os
import random
import subprocess
import sys
import time
from collections import Counter

import dying_study
import killed_study
import pytest
from tiny_study import essence

from mlflow_ext.tuning.attributes import RETRY_OF, SESSION, TRIAL
from mlflow_ext.tuning.catalog import find_study
from mlflow_ext.tuning.mirror.place import PARENT

KILLS = 10
NAME = killed_study.NAME
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def start(folder, n_trials, workers):
    command = [sys.executable, killed_study.__file__, str(folder), str(n_trials), str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout.readline().strip() == "READY"
    return process


def all_runs(client):
    (experiment,) = [e for e in client.search_experiments() if e.name == "killed"]
    runs = client.search_runs([experiment.experiment_id], max_results=50_000)
    shown = [run for run in runs if TRIAL in run.data.tags]
    return shown, [run for run in runs if TRIAL not in run.data.tags]


@pytest.mark.slow
def test_after_ten_kills_the_children_are_the_trials_that_were_told(tracking, tmp_path):
    moments = random.Random(7)
    for number in range(KILLS):
        with start(tmp_path, 2000, 1 + number % 2) as process:
            time.sleep(moments.uniform(0.0, 2.5))
            process.kill()
    trials = find_study(str(tmp_path), NAME).trials
    begun = sum(RETRY_OF not in trial.user_attrs for trial in trials)
    with start(tmp_path, begun + 5, 2) as process:
        assert process.wait(300) == 0

    study = find_study(str(tmp_path), NAME)
    trials, (shown, parents) = study.trials, all_runs(tracking)
    assert len(trials) > begun
    assert all(trial.state.is_finished() for trial in trials)
    by_number = {int(run.data.tags[TRIAL]): run for run in shown}
    assert sorted(by_number) == [trial.number for trial in trials]
    assert len(shown) == len(trials)
    for trial in trials:
        run = by_number[trial.number]
        assert run.info.status == STATUS[trial.state.name]
        assert run.data.params == {key: str(value) for key, value in trial.params.items()}
    assert len({run.data.tags[PARENT] for run in shown}) == 1

    # Of a call that was killed before the study knew of it, nobody else can know.
    known = Counter(
        run.info.status for run in parents if SESSION + run.info.run_id in study.user_attrs
    )
    assert known.total() > KILLS // 2
    assert known == {"FINISHED": 1, "KILLED": known.total() - 1}


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_killed_at_any_commit_a_study_in_a_database_becomes_what_it_would_have(tmp_path, sampler):
    subprocess.run([sys.executable, dying_study.__file__, str(tmp_path), sampler], check=True)
    numbers = [int(file.stem) for file in tmp_path.glob("*.db")]
    trials = {number: dying_study.go_on(tmp_path, number, sampler).trials for number in numbers}
    whole = trials[0]

    assert len(numbers) > 20
    assert len(whole) == 3
    if sampler == "qmc":
        assert whole[0].params == dying_study.CHAMPION
        assert dying_study.KNOWN.items() <= whole[1].params.items()
    assert [n for n in numbers if essence(trials[n]) != essence(whole)] == []
