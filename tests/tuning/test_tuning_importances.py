"""Which parameters mattered, by two measures; and when that cannot be known."""

import math

import optuna
import pytest
from small_studies import study_of

from mlflow_ext.tuning import importances
from mlflow_ext.tuning.importances import METHODS, explain_importances, measure_importances, thin


def study_that_depends_on_x(trials=60, direction="minimize"):
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(direction=direction, sampler=sampler)
    sign = 1 if direction == "minimize" else -1
    for _ in range(trials):
        trial = study.ask()
        x, _ = trial.suggest_float("x", 0, 1), trial.suggest_float("idle", 0, 1)
        study.tell(trial, sign * (x - 0.3) ** 2)
    return study


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_parameter_that_matters_has_the_largest_share(method, direction):
    shares = measure_importances(study_that_depends_on_x(direction=direction), method)

    assert list(shares) == ["x", "idle"]
    assert shares["x"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)


def test_each_objective_has_shares_of_its_own():
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=optuna.samplers.RandomSampler(seed=1)
    )
    for _ in range(60):
        trial = study.ask()
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        study.tell(trial, (x, y))

    for method in METHODS:
        assert next(iter(measure_importances(study, method, 0))) == "x"
        assert next(iter(measure_importances(study, method, 1))) == "y"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [(), (1.0,), (2.0, 2.0), (None, None), (math.inf, 1.0)])
def test_made_up_shares_are_never_told(method, values):
    assert "two completed trials" in explain_importances(study_of(*values), method)


def test_a_long_study_is_thinned_from_the_best_to_the_worst():
    study = study_of(*map(float, range(100)))
    values = [trial.value for trial in thin(study, 10).trials]

    assert values == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert len(thin(study, 1000).trials) == 100


def test_the_measure_that_is_slow_sees_few_trials(monkeypatch):
    seen = []
    evaluate = optuna.importance.FanovaImportanceEvaluator.evaluate

    def spy(self, study, *args, **kwargs):
        seen.append(len(study.trials))
        return evaluate(self, study, *args, **kwargs)

    monkeypatch.setattr(optuna.importance.FanovaImportanceEvaluator, "evaluate", spy)
    monkeypatch.setitem(importances.MOST_TRIALS, "fANOVA", 30)
    assert next(iter(measure_importances(study_that_depends_on_x(), "fANOVA"))) == "x"
    assert seen == [30]
