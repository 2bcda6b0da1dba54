"""A trial is scored on growing shares of the rows, and stopped when it is hopeless."""

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_study import SEARCH, TinyModel, auc, make_tables, score

from mlflow_ext.errors import TableError
from mlflow_ext.tuning.attributes import REPORTED_MS
from mlflow_ext.tuning.objective import Objective
from mlflow_ext.tuning.rows import check_tables, nested_subsets
from mlflow_ext.tuning.trials import Claim, run_trial

PARAMS = {"slope": 1.0, "scale": 0.1, "power": 1, "kind": "line"}


class AlwaysPruner(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return True


def run_one(pruner, make_model=lambda params: TinyModel(**params), **changes):
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.enqueue_trial(PARAMS)
    objective = Objective(
        search=replace(SEARCH, **changes), make_model=make_model, tables=make_tables(), score=score
    )
    study.optimize(objective, n_trials=1)
    return study.trials[0]


def test_the_value_is_the_metric_of_a_model_fitted_on_all_rows():
    trial, tables = run_one(optuna.pruners.NopPruner()), make_tables()
    model = TinyModel(**PARAMS).fit(tables.train_x, tables.train_y)

    expected = auc(tables.validation_y, model.predict_proba(tables.validation_x)[:, 1])
    assert trial.value == pytest.approx(expected)
    assert trial.params == PARAMS


def test_each_fraction_reports_one_value_with_its_time():
    search = replace(SEARCH, fractions=(0.1, 0.5, 1.0))
    objective = Objective(
        search=search, make_model=lambda p: TinyModel(**p), tables=make_tables(), score=score
    )
    claim, asked = Claim(number=0, params=PARAMS, n_values=1, is_prunable=True), []
    begin = time.time_ns() // 1_000_000
    outcome = run_trial(objective, claim, lambda number, reports: asked.append(reports))
    end = time.time_ns() // 1_000_000

    assert [list(reports) for reports in asked] == [[0], [1]], "told at once, to be judged"
    assert outcome.reports == {2: outcome.values[0]}, "told with the outcome"
    times = outcome.attributes[REPORTED_MS]
    assert begin <= times[0] <= times[1] <= times[2] <= end


def test_without_a_pruner_nobody_is_asked_on_the_way():
    objective = Objective(
        search=SEARCH, make_model=lambda p: TinyModel(**p), tables=make_tables(), score=score
    )
    claim = Claim(number=0, params=PARAMS, n_values=1, is_prunable=False)
    outcome = run_trial(objective, claim, lambda number, reports: pytest.fail("asked"))

    assert list(outcome.reports) == [0, 1]


def test_a_pruned_trial_stops_after_the_share_that_showed_it_is_hopeless():
    fits = []

    class CountingModel(TinyModel):
        def fit(self, x, y):
            fits.append(len(x))
            return super().fit(x, y)

    trial = run_one(AlwaysPruner(), lambda p: CountingModel(**p), fractions=(0.1, 0.5, 1.0))

    assert trial.state is optuna.trial.TrialState.PRUNED
    assert fits == [10]


def test_a_trial_that_has_seen_all_rows_is_never_pruned():
    assert run_one(AlwaysPruner(), fractions=(1.0,)).state is optuna.trial.TrialState.COMPLETE


def test_a_model_that_predicts_nan_fails_its_trial_not_the_study():
    class Diverged(TinyModel):
        def predict_proba(self, x):
            return super().predict_proba(x) * np.nan

    with pytest.raises(ValueError, match="not finite"):
        run_one(optuna.pruners.NopPruner(), lambda params: Diverged(**params))


def test_a_median_pruner_stops_the_worst_of_many():
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    objective = Objective(
        search=SEARCH, make_model=lambda p: TinyModel(**p), tables=make_tables(), score=score
    )
    for _ in range(6):
        study.enqueue_trial(PARAMS)
    study.enqueue_trial({**PARAMS, "slope": -2.0})
    study.optimize(objective, n_trials=7)

    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 6 + ["PRUNED"]


@given(
    labels=st.lists(st.integers(0, 1), min_size=4, max_size=60).filter(lambda y: len(set(y)) == 2),
    fractions=st.lists(st.floats(0.01, 0.99), max_size=4, unique=True),
    seed=st.integers(0, 2**32),
)
def test_subsets_are_nested_repeatable_and_hold_both_classes(labels, fractions, seed):
    shares = [*sorted(fractions), 1.0]
    subsets = nested_subsets(labels, shares, seed)

    assert subsets[-1].tolist() == list(range(len(labels)))
    for smaller, larger in pairwise(subsets):
        assert set(smaller) <= set(larger)
    assert all({labels[row] for row in rows} == {0, 1} for rows in subsets)
    again = nested_subsets(labels, shares, seed)
    assert all(np.array_equal(a, b) for a, b in zip(subsets, again, strict=True))


def test_subsets_keep_the_mix_of_classes_and_follow_the_seed():
    labels = np.arange(1000) % 10 == 0
    (first, _), (other, _) = (nested_subsets(labels, (0.2, 1.0), seed) for seed in (0, 1))

    assert len(first) == 200
    assert abs(labels[first].sum() - 20) <= 1
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("table", ["train", "validation"])
@pytest.mark.parametrize("kind", ["empty", "one class", "missing", "three classes"])
def test_a_table_that_cannot_be_used_is_refused_before_the_study(table, kind):
    tables = make_tables()
    x, y = getattr(tables, f"{table}_x"), getattr(tables, f"{table}_y")
    changed = {
        "empty": (x[:0], y[:0]),
        "one class": (x[y == 1], y[y == 1]),
        "missing": (x, y.astype(float).where(x["a"] > 0)),
        "three classes": (x, y + (x["a"] > 1)),
    }[kind]
    wrong = replace(tables, **{f"{table}_x": changed[0], f"{table}_y": changed[1]})

    check_tables(tables)
    with pytest.raises(TableError) as error:
        check_tables(wrong)
    assert error.value.table == {"train": "training", "validation": "validation"}[table]
