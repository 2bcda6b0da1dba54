"""The trials of a study in order, whatever became of them."""

import json
import math

import optuna
import pytest
from small_studies import define, study_of

from mlflow_ext.tuning.attributes import EXCESS
from mlflow_ext.tuning.leaderboard import (
    count_causes,
    count_states,
    describe_trials,
    front_numbers,
    make_leaderboard,
    metric_names,
    rank_trials,
)

ENDS = [3.0, None, 1.0, math.inf, "pruned", 2.0]


def numbers(study):
    return [trial.number for trial in rank_trials(study)]


@pytest.mark.parametrize(("direction", "order"), [("minimize", [2, 5, 0]), ("maximize", [0, 5, 2])])
def test_the_best_trial_stands_first_and_what_has_no_usable_value_last(direction, order):
    study = study_of(*ENDS, direction=direction)

    assert numbers(study) == [*order, 3, 1, 4]


def test_a_trial_that_breaks_a_constraint_stands_behind_all_that_keep_it():
    study = study_of()
    for value, excess in [(1.0, [0.5]), (2.0, [-0.5, 0.0]), (3.0, [])]:
        trial = study.ask()
        trial.set_user_attr(EXCESS, excess)
        study.tell(trial, value)

    assert numbers(study) == [1, 2, 0]


def test_of_several_objectives_the_front_stands_first():
    study = study_of((1.0, 5.0), (2.0, 6.0), (3.0, 1.0), (0.5, 9.0))

    assert front_numbers(study) == {0, 2, 3}
    assert numbers(study) == [3, 0, 2, 1]


def test_one_objective_has_no_front():
    assert front_numbers(study_of(1.0, 2.0)) == frozenset()


def test_the_table_names_every_objective_and_marks_the_front():
    study = define(study_of((1.0, 5.0), (2.0, 6.0)), "auc", "seconds")
    board = make_leaderboard(study)

    assert board["columns"][:6] == ["trial", "state", "auc", "seconds", "front", "p0"]
    assert [row[:5] for row in board["data"]] == [
        [0, "COMPLETE", 1.0, 5.0, True],
        [1, "COMPLETE", 2.0, 6.0, False],
    ]


def test_the_table_can_be_json_although_a_value_is_infinite():
    board = make_leaderboard(study_of(*ENDS))
    values = [row[2] for row in json.loads(json.dumps(board, allow_nan=False))["data"]]

    assert values == [1.0, 2.0, 3.0, "inf", None, None]


def test_a_parameter_may_be_called_like_a_column():
    study = optuna.create_study()
    trial = study.ask()
    trial.suggest_float("value", 0, 1)
    study.tell(trial, 1.0)
    columns = make_leaderboard(study)["columns"]

    assert len(set(columns)) == len(columns)
    assert "value (parameter)" in columns


def test_states_and_causes_are_counted():
    trials = study_of(*ENDS, None).get_trials()

    assert count_states(trials) == {"complete": 4, "pruned": 1, "fail": 2}
    assert count_causes(trials) == [("ValueError: it <broke>", 2)]


def test_everything_about_a_trial_can_be_json():
    described = json.loads(json.dumps(describe_trials(study_of(*ENDS)), allow_nan=False))

    assert [trial["trial"] for trial in described] == list(range(6))
    assert [trial["values"] for trial in described[:4]] == [
        {"value": 3.0},
        {},
        {"value": 1.0},
        {"value": "inf"},
    ]
    assert described[0]["params"].keys() == {"p0", "p1"}
    assert described[0]["begun"] <= described[0]["ended"]


def test_values_have_names_also_where_nobody_gave_any():
    assert metric_names(study_of(1.0)) == ("value",)
    assert metric_names(study_of((1.0, 2.0))) == ("value 0", "value 1")
    assert metric_names(define(study_of(1.0), "auc")) == ("auc",)
