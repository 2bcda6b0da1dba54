"""The section ``search`` of project.yaml: what goes together, and how a contradiction is told."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mlflow_ext.errors import ProjectFileError, SearchError
from mlflow_ext.project import (
    Choices,
    Constraint,
    FloatRange,
    IntRange,
    adjust_search,
    load_project,
)

SHIPPED = Path(__file__).resolve().parent.parent / "project.yaml"
RATE = "learning_rate"
ITERATIONS = {"type": "int", "low": 1, "high": 9}

MISTAKES = {
    "unknown sampler": ({"sampler": "tpee"}, "tpe", "sampler:"),
    "unknown pruner": ({"pruner": "medain"}, "median", "pruner:"),
    "unknown engine": ({"engine": "ray"}, "spark", "engine:"),
    "several objectives and a sampler for one": (
        {
            "objectives": [{"metric": "brier", "direction": "minimize"}],
            "pruner": "none",
            "sampler": "cmaes",
        },
        "cmaes knows one objective",
        "sampler:",
    ),
    "nothing left for the search": ({"rescore": {"share": 1.0}}, "less than 1", "share: 1.0"),
    "no trial to score again": ({"rescore": {"top": 0}}, "greater than or equal to 1", "top: 0"),
    "no workers": ({"workers": 0}, "greater than or equal to 1", "workers:"),
    "condition on nothing": (
        {"space": {RATE: {**ITERATIONS, "when": {"kernel": "rbf"}}}},
        "must be a parameter that stands above",
        "kernel:",
    ),
    "condition on what comes later": (
        {"space": {"a": {**ITERATIONS, "when": {"b": 2}}, "b": ITERATIONS}},
        "must be a parameter that stands above 'a'",
        "b:",
    ),
    "condition on what cannot be": (
        {"space": {"a": ITERATIONS, "b": {**ITERATIONS, "when": {"a": [1, 10]}}}},
        "values that 'a' can take",
        "a:",
    ),
    "a known point outside the space": (
        {"enqueue": [{RATE: 0.1}, {RATE: 5.0}]},
        "a value of the space, found learning_rate: 5.0",
        "learning_rate: 5.0",
    ),
    "a known point of another space": (
        {"enqueue": [{"depth": 3}]},
        "a parameter and a value of the space, found depth: 3",
        "depth:",
    ),
    "one metric twice": (
        {"objectives": [{"metric": "roc_auc", "direction": "maximize"}], "pruner": "none"},
        "each metric once",
        "objectives:",
    ),
    "several objectives and a pruner": (
        {"objectives": [{"metric": "brier", "direction": "minimize"}]},
        "cannot be compared half-way",
        "pruner:",
    ),
    "several objectives and a terminator": (
        {
            "objectives": [{"metric": "brier", "direction": "minimize"}],
            "pruner": "none",
            "terminator": True,
        },
        "never stop to trade",
        "terminator:",
    ),
    "constraints and a sampler that knows none": (
        {"constraints": [{"metric": "brier", "max": 0.2}], "sampler": "random"},
        "random knows no constraints",
        "sampler:",
    ),
    "a constraint without a bound": (
        {"constraints": [{"metric": "brier"}]},
        "either 'max' or 'min'",
        "metric: brier",
    ),
    "a grid without steps": (
        {"sampler": "grid"},
        "'learning_rate' needs a step",
        "learning_rate:",
    ),
    "warm start and folds": (
        {"warm_start": "max_iter", "cv": {"folds": 3}},
        "either warm_start or cv",
        "warm_start:",
    ),
    "warm start by what is no count": (
        {"warm_start": RATE},
        "a whole number among 'space' or 'fixed'",
        "warm_start:",
    ),
    "warm start by what not every trial has": (
        {
            "space": {
                "kind": {"type": "categorical", "choices": ["a", "b"]},
                "max_iter": {**ITERATIONS, "when": {"kind": "a"}},
            },
            "warm_start": "max_iter",
        },
        "every trial needs a count",
        "when:",
    ),
    "a range without an end": (
        {"space": {RATE: {"type": "float", "low": 0.1, "high": math.inf}}},
        "finite",
        "high: .inf",
    ),
    "a range from nowhere": (
        {"space": {RATE: {"type": "float", "low": math.nan, "high": 1.0}}},
        "finite",
        "low: .nan",
    ),
    "an endless step": (
        {"space": {RATE: {"type": "float", "low": 0.0, "high": 1.0, "step": math.inf}}},
        "finite",
        "step: .inf",
    ),
    "a share that is no number": ({"fractions": [0.1, math.nan, 1.0]}, "finite", ".nan"),
    "a bound that is no number": (
        {"constraints": [{"metric": "brier", "max": math.nan}]},
        "finite",
        "max: .nan",
    ),
    "one choice twice": (
        {"space": {RATE: {"type": "categorical", "choices": ["a", "b", "a"]}}},
        "choices that can be told apart",
        "- a",
    ),
    "choices that Optuna takes for one": (
        {"space": {RATE: {"type": "categorical", "choices": [0, 1, True]}}},
        "found True",
        "- true",
    ),
    "a choice that equals nothing": (
        {"space": {RATE: {"type": "categorical", "choices": [1.0, math.nan]}}},
        "not even itself",
        ".nan",
    ),
    "a known point beside the steps": (
        {
            "space": {RATE: {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25}},
            "enqueue": [{RATE: 0.3}],
        },
        "a value of the space, found learning_rate: 0.3",
        "learning_rate: 0.3",
    ),
    "a metric that each run of a trial has": (
        {"metric": "trial"},
        "shows a 'trial' of its own",
        "metric: trial",
    ),
    "an objective that each run of a trial has": (
        {
            "objectives": [{"metric": "duration_seconds", "direction": "minimize"}],
            "pruner": "none",
        },
        "shows a 'duration_seconds' of its own",
        "metric: duration_seconds",
    ),
    "one fold": ({"cv": {"folds": 1}}, "greater than or equal to 2", "folds:"),
    "a key of cv that is none": ({"cv": {"folds": 2, "by_tim": True}}, "by_time", "by_tim:"),
    "a direction that the KPIs contradict": (
        {"direction": "minimize"},
        "the KPI roc_auc is to maximize, the search to minimize it",
        "direction:",
    ),
    "an objective that the KPIs contradict": (
        {"objectives": [{"metric": "brier", "direction": "maximize"}], "pruner": "none"},
        "the KPI brier is to minimize",
        "objectives:",
    ),
}


def write(folder, changes):
    values = yaml.safe_load(SHIPPED.read_text())
    values["search"] |= changes
    file = folder / "project.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line(tmp_path, mistake):
    changes, expected, line = MISTAKES[mistake]
    file = write(tmp_path, changes)

    with pytest.raises(ProjectFileError) as error:
        load_project(file)
    assert expected in f"{error.value.expected} {error.value.found} {error.value.fix}"
    assert line in file.read_text().splitlines()[error.value.line - 1]


def test_everything_at_once_is_understood(tmp_path):
    changes = {
        "space": {
            "max_iter": {"type": "int", "low": 10, "high": 50, "step": 10},
            "kind": {"type": "categorical", "choices": ["a", None, True]},
            "rate": {"type": "float", "low": 0.1, "high": 0.5, "step": 0.2, "when": {"kind": "a"}},
        },
        "objectives": [{"metric": "brier", "direction": "minimize"}],
        "constraints": [{"metric": "log_loss", "max": 0.7}],
        "enqueue": [{"max_iter": 20, "kind": None}],
        "warm_start": "max_iter",
        "sampler": "nsga2",
        "pruner": "none",
        "workers": 4,
        "engine": "spark",
        "storage": "sqlite:///studies.db",
    }
    search = load_project(write(tmp_path, changes)).search

    assert [aim.metric for aim in search.aims] == ["roc_auc", "brier"]
    assert search.space["rate"].when == {"kind": "a"}
    assert search.enqueue == ({"max_iter": 20, "kind": None},)
    assert (search.workers, search.engine, search.warm_start) == (4, "spark", "max_iter")


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (FloatRange(type="float", low=0.0, high=1.0), [0, 0.0, 0.5, 1], [-0.1, 2, True, "0.5"]),
        (FloatRange(type="float", low=-0.3, high=0.9, step=0.1), [0.0, 0.6, 0.3], [0.35, 1.0]),
        (IntRange(type="int", low=1, high=9, step=4), [1, 5, 9], [2, 10, 1.5, None]),
        (Choices(type="categorical", choices=(1, "1", None)), [1, "1", None], [True, 1.0, "x"]),
    ],
)
def test_a_range_admits_its_own_values(parameter, inside, outside):
    assert [value for value in inside if not parameter.admits(value)] == []
    assert [value for value in outside if parameter.admits(value)] == []


@pytest.mark.parametrize(
    ("chosen", "wanted", "is_active"),
    [
        (1.0, 1, True),
        (1, 1.0, True),
        (0.1 * 3, 0.3, True),
        (3, (2.0, 3.0), True),
        (1, True, False),
        (True, 1, False),
        ("1", 1, False),
        (1.5, 1, False),
        (None, None, True),
    ],
)
def test_a_condition_compares_numbers_however_they_are_written(chosen, wanted, is_active):
    parameter = IntRange(type="int", low=1, high=9, when={"a": wanted})

    assert parameter.is_active({"a": chosen}) is is_active


@pytest.mark.parametrize(
    ("bound", "value", "excess"),
    [({"max": 0.5}, 0.25, -0.25), ({"max": 0.5}, 0.75, 0.25), ({"min": 0.5}, 0.25, 0.25)],
)
def test_a_constraint_says_by_how_much_it_is_missed(bound, value, excess):
    assert Constraint(metric="brier", **bound).excess(value) == excess


def test_a_search_is_adjusted_or_the_value_refused():
    search = load_project(SHIPPED).search

    assert adjust_search(search, {"workers": 3, "sampler": "random"}) == replace(
        search, workers=3, sampler="random"
    )
    with pytest.raises(SearchError, match="'tpe', 'random', 'grid'"):
        adjust_search(search, {"sampler": "anneal"})
