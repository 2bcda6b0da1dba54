"""How far a search is: measured from the study alone, and told as the stream can show it."""

import io
import math
import time

import pytest
from small_studies import define, study_of, tell

from mlflow_ext.tuning import progress
from mlflow_ext.tuning.progress import Goal, measure_progress, showing, write_bar, write_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait_until(holds):
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail("nothing was shown within 30 seconds")


def test_pace_and_time_left_count_what_this_call_has_finished():
    study = define(study_of(3.0, None, 1.0, "pruned", 2.0), "loss")
    found = measure_progress(study, Goal(n_trials=11), already=2, elapsed=6.0)

    assert (found.done, found.wanted) == (5, 11)
    assert found.best == {"loss": 1.0}
    assert found.per_second == 0.5
    assert found.seconds_left == 12.0


def test_a_timeout_that_comes_first_is_the_time_left():
    study = study_of(1.0)
    goal = Goal(n_trials=1000, timeout=10.0)

    assert measure_progress(study, goal, already=0, elapsed=4.0).seconds_left == 6.0
    assert measure_progress(study, goal, already=1, elapsed=40.0).seconds_left == 0.0


def test_nothing_is_said_before_anything_is_known():
    study = study_of(None, math.inf)
    found = measure_progress(study, Goal(n_trials=5), already=2, elapsed=1.0)

    assert write_line(found) == "2 of 5 trials"


def test_every_objective_has_its_best_value():
    study = define(study_of((1.0, 5.0), (2.0, 4.0)), "auc", "seconds")
    found = measure_progress(study, Goal(n_trials=2), already=0, elapsed=1.0)

    assert write_line(found) == "2 of 2 trials, auc 1, seconds 4, 2 trials/s"


@pytest.mark.parametrize(("width", "longest"), [(200, 200), (30, 30), (0, 0)])
def test_a_bar_never_breaks_its_line(width, longest):
    study = study_of(*map(float, range(30)))
    bar = write_bar(measure_progress(study, Goal(n_trials=20), 0, 1.0), width)

    assert len(bar) <= longest
    assert bar == "[####################] 30 of 20 trials, value 0, 30 trials/s"[:longest]


def test_a_terminal_gets_one_line_that_is_drawn_anew(monkeypatch):
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    stream, study = Terminal(), study_of()
    with showing(study, Goal(n_trials=2), stream):
        trial = study.ask()
        wait_until(lambda: stream.getvalue().count("\r") > 2)
        tell(study, trial, 0.25)

    assert stream.getvalue().count("\n") == 1
    assert (
        stream.getvalue().rstrip().rpartition("\r")[2].startswith("[##########..........] 1 of 2")
    )


def test_any_other_stream_gets_a_line_only_when_something_has_happened(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    stream, study = io.StringIO(), study_of(1.0)
    with showing(study, Goal(n_trials=2), stream):
        wait_until(stream.getvalue)
        tell(study, study.ask(), 0.5)
    lines = stream.getvalue().splitlines()

    assert [line.split(",")[:2] for line in lines] == [
        ["1 of 2 trials", " value 1"],
        ["2 of 2 trials", " value 0.5"],
    ]


def test_who_wants_silence_gets_it():
    stream = Terminal()
    with showing(study_of(1.0), Goal(n_trials=2), stream, is_quiet=True):
        pass

    assert stream.getvalue() == ""


def test_a_stream_that_breaks_does_not_end_the_search():
    stream, reached = io.StringIO(), False
    with showing(study_of(1.0), Goal(n_trials=2), stream):
        stream.close()
        reached = True

    assert reached
