"""Cross-validation, splits in time, iterations that go on, several metrics of one trial."""

from dataclasses import replace
from functools import partial

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from tiny_study import SEARCH, TinyModel, make_tables, make_tiny, score

from mlflow_ext.data.features import make_model
from mlflow_ext.errors import SearchError, TableError
from mlflow_ext.project import Aim, Constraint, CrossValidation, FloatRange, IntRange
from mlflow_ext.tuning.attributes import BOUNDED, EXCESS
from mlflow_ext.tuning.objective import Objective, StoredObjective
from mlflow_ext.tuning.rows import check_tables, draw_folds, load_tables, store_tables
from mlflow_ext.tuning.space import check_search, go_on_to, suggest
from mlflow_ext.tuning.study import run_study
from mlflow_ext.tuning.trials import Claim, run_trial

PARAMS = {"slope": 1.0, "scale": 0.1, "power": 1, "kind": "line"}
CV = replace(SEARCH, cv=CrossValidation(folds=4))
BY_TIME = replace(SEARCH, cv=CrossValidation(folds=4, by_time=True))
TREES = replace(
    SEARCH,
    space={"n_estimators": IntRange(type="int", low=1, high=50)},
    warm_start="n_estimators",
    fractions=(0.2, 0.5, 1.0),
)


def timed_tables():
    tables = make_tables()
    hours = pd.Series(np.arange(len(tables.train_x)) // 4, index=tables.train_x.index)
    return replace(tables, train_time=hours.sample(frac=1.0, random_state=0).sort_index())


def tables_that_miss_a_time():
    tables = make_tables()
    times = pd.Series(pd.date_range("2013-01-01", periods=100), index=tables.train_x.index)
    return replace(tables, train_time=times.where(times.index != times.index[3]))


def outcome_of(search, make=make_tiny, params=PARAMS, tables=None, prune_at=None):
    """Run one trial; *prune_at* is the step after which it is called hopeless."""
    objective = Objective(
        search=search, make_model=make, tables=tables or make_tables(), score=score
    )
    claim = Claim(
        number=0, params=params, n_values=len(search.aims), is_prunable=prune_at is not None
    )
    return run_trial(objective, claim, lambda number, reports: prune_at in reports)


@pytest.mark.parametrize(
    "slope",
    [
        IntRange(type="int", low=0, high=10**30),
        IntRange(type="int", low=-(2**53) - 1, high=0),
        FloatRange(type="float", low=-1.7e308, high=1.7e308),
        FloatRange(type="float", low=0.0, high=1.7e308, step=1e307),
        FloatRange(type="float", low=0.0, high=1e300, step=1e-300),
    ],
)
def test_a_range_that_no_sampler_can_draw_from_is_refused(slope):
    search = replace(SEARCH, estimator="tiny_study.TinyModel")
    with pytest.raises(SearchError, match=r"search.space.slope .* is too wide") as error:
        check_search(replace(search, space={**SEARCH.space, "slope": slope}))
    assert "step" in error.value.fix


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "qmc", "nsga2"])
def test_the_widest_ranges_that_are_taken_can_be_drawn_from(tmp_path, sampler):
    space = {
        "slope": IntRange(type="int", low=-(2**53), high=2**53),
        "scale": IntRange(type="int", low=2**53 - 5, high=2**53),
        "power": FloatRange(type="float", low=-8e307, high=8e307),
        "kind": FloatRange(type="float", low=0.0, high=1.0, step=2.0**-40),
    }
    search = replace(SEARCH, estimator="tiny_study.TinyModel", space=space, sampler=sampler)
    check_search(search)
    search = replace(search, pruner="none", n_trials=15)

    def drawn(trial):
        params = suggest(trial, space)
        assert all(space[name].admits(value) for name, value in params.items())
        return params["scale"] - 2.0**53

    assert run_study(search, drawn, name="a", storage_dir=tmp_path).n_complete == 15


def test_cross_validation_scores_each_fold_by_a_model_of_the_others():
    tables = make_tables()
    folds = draw_folds(tables, CV)
    expected = []
    for rows, held_out in folds:
        x, y = tables.train_x, tables.train_y
        model = TinyModel(**PARAMS).fit(x.iloc[rows], y.iloc[rows])
        probability = model.predict_proba(x.iloc[held_out])[:, 1]
        expected.append(score("roc_auc", y.iloc[held_out], probability))
    outcome = outcome_of(CV)

    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(100))
    assert not [1 for rows, held_out in folds if set(rows) & set(held_out)]
    assert outcome.values == pytest.approx([np.mean(expected)])
    so_far = [np.mean(expected[: n + 1]) for n in range(4)]
    assert list(outcome.reports.values()) == pytest.approx(so_far)


def test_a_hopeless_trial_is_spared_the_later_folds():
    fits = []

    def counting(params):
        fits.append(params)
        return make_tiny(params)

    assert outcome_of(CV, counting, prune_at=1).state == "PRUNED"
    assert len(fits) == 2


def test_folds_by_time_are_scored_by_what_came_before_and_split_no_moment():
    tables = timed_tables()
    for rows, held_out in draw_folds(tables, BY_TIME):
        before, after = tables.train_time.iloc[rows], tables.train_time.iloc[held_out]
        assert before.max() < after.min()
    assert outcome_of(BY_TIME, tables=tables).state == "COMPLETE"


@pytest.mark.parametrize(
    ("search", "tables", "what"),
    [
        (BY_TIME, make_tables(), "no times"),
        (BY_TIME, tables_that_miss_a_time(), "1 of 100 rows without a time"),
        (replace(CV, cv=CrossValidation(folds=80)), make_tables(), "n_splits=80"),
        (replace(BY_TIME, cv=CrossValidation(folds=40, by_time=True)), timed_tables(), "folds"),
    ],
)
def test_rows_that_cannot_be_cut_into_folds_are_refused_before_the_study(search, tables, what):
    with pytest.raises(TableError) as error:
        check_tables(tables, search)
    assert what in str(error.value)


def test_a_fold_of_one_class_is_refused_before_the_study():
    tables = timed_tables()
    lopsided = (tables.train_time > 12).astype("int64")

    with pytest.raises(TableError, match="fold 0 of training"):
        check_tables(replace(tables, train_y=lopsided), BY_TIME)


def make_forest(params, wrapped):
    forest = RandomForestClassifier(random_state=0, **params)
    return make_model(list("abc"), [], forest, 0.5) if wrapped else forest


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "behind a threshold"])
def test_iterations_go_on_and_end_where_one_fit_would_have_ended(wrapped):
    make = partial(make_forest, wrapped=wrapped)
    outcome = outcome_of(TREES, make, {"n_estimators": 20})
    tables, whole = make_tables(), make({"n_estimators": 20})
    whole.fit(tables.train_x, tables.train_y)
    expected = score("roc_auc", tables.validation_y, whole.predict_proba(tables.validation_x)[:, 1])

    assert outcome.values == pytest.approx([expected])
    few = make({"n_estimators": 4}).fit(tables.train_x, tables.train_y)
    early = score("roc_auc", tables.validation_y, few.predict_proba(tables.validation_x)[:, 1])
    assert outcome.reports[0] == pytest.approx(early)


def test_no_iteration_is_done_twice(monkeypatch):
    grown = []
    fit = RandomForestClassifier.fit

    def noting(self, x, y):
        before = len(getattr(self, "estimators_", []))
        fit(self, x, y)
        grown.append((before, len(self.estimators_)))
        return self

    monkeypatch.setattr(RandomForestClassifier, "fit", noting)
    outcome_of(TREES, partial(make_forest, wrapped=True), {"n_estimators": 20})

    assert grown == [(0, 4), (4, 10), (10, 20)]


@pytest.mark.parametrize("model", [LogisticRegression(), TinyModel(**PARAMS)])
def test_a_model_that_cannot_go_on_is_refused(model):
    with pytest.raises(SearchError, match="cannot go on from an earlier fit"):
        go_on_to(model, "n_estimators", 5)


COUNTS_ON = {
    "sklearn.ensemble.RandomForestClassifier": "n_estimators",
    "sklearn.ensemble.GradientBoostingClassifier": "n_estimators",
    "sklearn.ensemble.HistGradientBoostingClassifier": "max_iter",
    "sklearn.ensemble.BaggingClassifier": "n_estimators",
}
STARTS_ANEW = (
    "sklearn.neural_network.MLPClassifier",
    "sklearn.linear_model.SGDClassifier",
    "sklearn.linear_model.LogisticRegression",
    "sklearn.linear_model.Perceptron",
)


def search_by(estimator, argument):
    space = {argument: IntRange(type="int", low=1, high=50)}
    return replace(SEARCH, estimator=estimator, space=space, warm_start=argument)


@pytest.mark.parametrize("estimator", COUNTS_ON)
def test_an_estimator_that_counts_all_its_iterations_may_go_on(estimator):
    check_search(search_by(estimator, COUNTS_ON[estimator]))


@pytest.mark.parametrize("estimator", STARTS_ANEW)
def test_an_estimator_that_counts_only_those_of_each_fit_is_refused_before_the_study(estimator):
    with pytest.raises(SearchError, match="counts 'max_iter' anew in each fit"):
        check_search(search_by(estimator, "max_iter"))


def test_what_counts_anew_is_found_behind_whatever_is_around_it():
    network = make_model(list("abc"), [], MLPClassifier(), 0.5)

    with pytest.raises(SearchError, match="MLPClassifier counts 'max_iter' anew"):
        go_on_to(network, "max_iter", 5)


def test_several_objectives_are_measured_on_one_full_fit():
    search = replace(SEARCH, pruner="none", objectives=(Aim(metric="brier", direction="minimize"),))
    fits = []

    def counting(params):
        fits.append(params)
        return make_tiny(params)

    outcome = outcome_of(search, counting)
    tables, model = make_tables(), make_tiny(PARAMS)
    probability = model.fit(tables.train_x, tables.train_y).predict_proba(tables.validation_x)[:, 1]

    assert outcome.values == pytest.approx(
        [score(metric, tables.validation_y, probability) for metric in ("roc_auc", "brier")]
    )
    assert (len(fits), outcome.reports) == (1, {})


def test_a_constraint_is_measured_beside_the_objective_even_on_a_pruned_trial():
    search = replace(SEARCH, constraints=(Constraint(metric="brier", min=0.9),))
    whole, pruned = outcome_of(search), outcome_of(search, prune_at=0)

    assert pruned.state == "PRUNED"
    assert len(whole.attributes[EXCESS]) == len(pruned.attributes[EXCESS]) == 1
    assert 0 < whole.attributes[EXCESS][0] < 0.9
    assert whole.attributes[BOUNDED]["brier"] == pytest.approx(0.9 - whole.attributes[EXCESS][0])


def test_rows_that_go_to_a_worker_come_back_the_same(tmp_path):
    tables = timed_tables()
    mixed = tables.train_x.assign(
        city=pd.Categorical(["a", "b"] * 50),
        when=pd.date_range("2013-01-01", periods=100, tz="UTC"),
        empty=np.nan,
    )
    tables = replace(tables, train_x=mixed)
    for _ in range(2):
        store_tables(tables, tmp_path / "rows")
    back = load_tables(tmp_path / "rows")

    pd.testing.assert_frame_equal(back.train_x, tables.train_x)
    pd.testing.assert_frame_equal(back.validation_x, tables.validation_x)
    for name in ("train_y", "validation_y", "train_time"):
        pd.testing.assert_series_equal(
            getattr(back, name), getattr(tables, name), check_names=False, check_freq=False
        )


def test_a_stored_objective_scores_as_the_one_with_its_rows(tmp_path):
    make = partial(Objective, search=SEARCH, make_model=make_tiny, score=score)
    store_tables(make_tables(), tmp_path)
    stored, whole = StoredObjective(make=make, folder=tmp_path), make(tables=make_tables())
    trials = [optuna.trial.FixedTrial(PARAMS) for _ in range(2)]

    assert stored(trials[0]) == whole(trials[1])
