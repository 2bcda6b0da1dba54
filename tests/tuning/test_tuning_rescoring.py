"""The best trials once more, on rows the search never saw: what luck had added is gone."""

from dataclasses import dataclass, field, replace

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from tiny_study import SEARCH, TinyModel, make_tables, make_task

from mlflow_ext.errors import SearchError, UnknownNameError
from mlflow_ext.project import Constraint
from mlflow_ext.tuning import Tables, tune
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.objective import Objective
from mlflow_ext.tuning.rescoring import Rescoring, Spread, average, pool_spread, rescore
from mlflow_ext.tuning.rows import bind_rows
from mlflow_ext.tuning.study import run_study

SEEDS = range(12)
NO_SEED = {"kind": "sign", "power": 1, "scale": 1.0, "slope": 1.0}


@dataclass
class Guess:
    """Predicts noise that depends on its parameter and its seed, and on nothing else."""

    which: float
    random_state: int = 0
    seen: list = field(default_factory=list)

    def get_params(self):
        return {"which": self.which, "random_state": self.random_state}

    def set_params(self, random_state):
        self.random_state = random_state

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, x):
        digits = (int(self.which * 1e9), self.random_state, len(x))
        positive = np.random.default_rng(digits).random(len(x))
        return np.column_stack([1 - positive, positive])


def noise(rows, seed):
    random = np.random.default_rng(seed)
    x = pd.DataFrame({"a": random.normal(size=rows)})
    return x, pd.Series(np.arange(rows) % 2, name="y")


def tables_of(rows, seed):
    train_x, train_y = noise(40, seed)
    x, y = noise(rows, seed + 1)
    return Tables(train_x=train_x, train_y=train_y, validation_x=x, validation_y=y)


def search_noise(seed, trials=40, rows=100):
    """A study of guesses, whose values are luck alone."""
    from sklearn.metrics import roc_auc_score

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed)
    )
    x, y = noise(rows, seed)
    for _ in range(trials):
        trial = study.ask()
        model = Guess(trial.suggest_float("which", 0, 1)).fit(x, y)
        study.tell(trial, roc_auc_score(y, model.predict_proba(x)[:, 1]))
    return study


def rescoring(tables, make_model=lambda params: Guess(**params), **changes):
    return Rescoring(make_model=make_model, tables=tables, metric="roc_auc", **changes)


@pytest.fixture(scope="module")
def on_noise():
    """What a dozen searches among guesses say: the truth is 0.5 for each of them."""
    return [rescore(search_noise(s), rescoring(tables_of(1_000, s))) for s in SEEDS]


def test_on_noise_the_search_promises_too_much_every_time(on_noise):
    promised = [found.trials[0].search_value for found in on_noise]

    assert min(promised) > 0.55
    assert np.mean(promised) > 0.6


def test_on_noise_the_fresh_value_of_what_the_search_chose_is_not_optimistic(on_noise):
    fresh = np.array([found.trials[0].fresh_value for found in on_noise])
    error = fresh.std(ddof=1) / np.sqrt(len(fresh))

    assert abs(fresh.mean() - 0.5) < 3 * error < 0.02


def test_on_noise_the_interval_of_the_winner_holds_the_truth(on_noise):
    held = [low < 0.5 < high for low, high in (found.winner.interval for found in on_noise)]

    assert sum(held) >= len(held) - 1
    assert all(high - low < 0.25 for low, high in (found.winner.interval for found in on_noise))


def test_the_optimism_is_what_the_search_said_too_much(on_noise):
    for found in on_noise:
        best = found.trials[0]
        assert found.optimism == pytest.approx(best.search_value - best.fresh_value)
        assert found.optimism > 0.03


def test_the_winner_is_the_best_on_fresh_rows(on_noise):
    for found in on_noise:
        assert found.winner.fresh_value == max(trial.fresh_value for trial in found.trials)
    assert any(found.winner is not found.trials[0] for found in on_noise)


def test_each_trial_is_fitted_with_several_other_seeds(on_noise):
    seeds = {trial.seeds for found in on_noise for trial in found.trials}

    assert len(seeds) == 1
    assert len(set(*seeds)) == 3
    assert 0 not in set(*seeds)


def test_equal_seeds_say_the_same_and_others_something_else():
    study, tables = search_noise(1), tables_of(300, 1)
    first, again = (rescore(study, rescoring(tables, seed=4)) for _ in range(2))

    assert first == again
    assert first != rescore(study, rescoring(tables, seed=5))


def test_a_search_that_minimizes_has_the_smallest_value_as_winner():
    study = optuna.create_study(direction="minimize")
    for which in (0.1, 0.2, 0.3):
        study.enqueue_trial({"which": which})
        trial = study.ask()
        study.tell(trial, trial.suggest_float("which", 0, 1))
    found = rescore(study, replace(rescoring(tables_of(200, 3)), metric="brier"))

    assert found.winner.fresh_value == min(trial.fresh_value for trial in found.trials)
    assert found.optimism == pytest.approx(found.trials[0].fresh_value - 0.1)


def test_a_constraint_counts_on_fresh_rows_too():
    study, tables = search_noise(1), tables_of(300, 1)
    free = rescore(study, rescoring(tables))
    values = sorted(trial.fresh_value for trial in free.trials)
    below = Constraint(metric="roc_auc", max=(values[-2] + values[-1]) / 2)
    found = rescore(study, rescoring(tables, constraints=(below,)))

    assert free.winner.fresh_value == values[-1]
    assert found.winner.fresh_value == values[-2]
    assert [one.is_allowed for one in found.trials].count(False) == 1

    none_keeps = rescore(study, rescoring(tables, constraints=(replace(below, max=0.1),)))
    assert none_keeps.winner.trial == free.winner.trial
    assert not none_keeps.winner.is_allowed


def test_a_metric_that_fresh_rows_cannot_be_scored_with_is_refused_before_the_search(
    tracking, tmp_path
):
    task = make_task(tmp_path / "studies")
    odd = replace(task.search, constraints=(Constraint(metric="odd", max=1.0),))
    for search in (replace(task.search, metric="odd"), odd):
        with mlflow.start_run(), pytest.raises(UnknownNameError, match="odd"):
            tune(replace(task, search=search, fresh=task.tables))
    assert not (tmp_path / "studies").exists()


# --- what is fitted again -------------------------------------------------------------------------


def study_with(*points, values=None):
    study = optuna.create_study(direction="maximize")
    for number, which in enumerate(points):
        study.enqueue_trial({"which": which})
        trial = study.ask()
        trial.suggest_float("which", 0, 1)
        study.tell(trial, values[number] if values else 1 - number / 10)
    return study


def test_equal_parameters_are_fitted_once_and_no_more_than_asked_for():
    study = study_with(0.1, 0.1, 0.2, 0.3, 0.4)
    found = rescore(study, rescoring(tables_of(200, 0), top=3))

    assert [trial.trial for trial in found.trials] == [0, 2, 3]


def test_an_estimator_without_a_seed_is_fitted_once():
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.create_trial(value=0.9, user_attrs={}, params={}, distributions={}))
    fits = []

    def make_model(params):
        fits.append(params)
        return TinyModel(**NO_SEED)

    found = rescore(study, rescoring(make_tables(), make_model))
    assert len(fits) == 1
    assert found.winner.seeds == ()
    assert found.winner.interval


def test_a_seed_that_changes_nothing_is_tried_twice_and_no_more():
    from sklearn.linear_model import LogisticRegression

    fits = []

    def make_model(params):
        fits.append(params)
        return LogisticRegression()

    found = rescore(study_with(0.5), rescoring(make_tables(), make_model, refits=9))
    assert len(fits) == 2
    assert len(found.winner.seeds) == 2


def test_the_seeds_reach_every_part_of_a_pipeline():
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    made = []

    def make_model(params):
        forest = RandomForestClassifier(n_estimators=3, random_state=0)
        made.append(make_pipeline(PCA(random_state=0), forest))
        return made[-1]

    found = rescore(study_with(0.5), rescoring(make_tables(), make_model))
    for model, seed in zip(made, found.winner.seeds, strict=True):
        assert model.get_params()["pca__random_state"] == seed
        assert model.get_params()["randomforestclassifier__random_state"] == seed


def test_a_trial_that_cannot_be_fitted_again_does_not_win():
    def make_model(params):
        if params["which"] == 0.1:
            raise ValueError("boom")
        return Guess(**params)

    found = rescore(study_with(0.1, 0.2), rescoring(tables_of(200, 0), make_model))
    assert (found.trials[0].fresh_value, found.trials[0].error) == (None, "ValueError: boom")
    assert found.winner.trial == 1
    assert found.optimism is None


# --- what is refused ------------------------------------------------------------------------------


def test_rows_that_the_search_has_seen_are_refused(tmp_path):
    task = make_task(tmp_path, replace(SEARCH, n_trials=2))
    study = open_study(task.search, task.name, tmp_path)
    bind_rows(study, task.tables)
    objective = Objective(
        search=task.search, make_model=task.make_model, tables=task.tables, score=task.score
    )
    run_study(task.search, objective, name=task.name, storage_dir=tmp_path)
    seen = (task.tables.train_x, task.tables.train_y)
    for x, y in (seen, (task.tables.validation_x, task.tables.validation_y)):
        tables = replace(task.tables, validation_x=x, validation_y=y)
        with pytest.raises(SearchError, match="rows that it has seen"):
            rescore(study, rescoring(tables, task.make_model))

    other = replace(task.tables, validation_x=seen[0][:60], validation_y=seen[1][:60])
    assert rescore(study, rescoring(other, task.make_model)).rows == 60


def test_a_study_without_a_completed_trial_has_nothing_to_score_again():
    with pytest.raises(SearchError, match="none has completed"):
        rescore(optuna.create_study(), rescoring(tables_of(200, 0)))


def test_when_nothing_fits_again_every_cause_is_told():
    def make_model(params):
        raise ValueError(f"no {params['which']}")

    with pytest.raises(SearchError, match=r"trial 0: ValueError: no 0\.1; trial 1: .*no 0\.2"):
        rescore(study_with(0.1, 0.2), rescoring(tables_of(200, 0), make_model))


def test_a_metric_that_nobody_knows_is_named():
    unknown = replace(rescoring(tables_of(200, 0)), metric="roc_auk")
    with pytest.raises(UnknownNameError, match="roc_auc"):
        rescore(study_with(0.1), unknown)


# --- the interval of several seeds ----------------------------------------------------------------


def test_seeds_that_differ_widen_the_interval():
    ends, spread = [(0.65, 0.75)] * 3, Spread(deviation=0.02, degrees=8)
    same = average([0.7, 0.7, 0.7], ends, 0.95, spread)
    low, high = average([0.68, 0.7, 0.72], ends, 0.95, spread)

    assert same == pytest.approx((0.65, 0.75))
    assert low < 0.65
    assert high > 0.75


def test_an_interval_never_leaves_what_a_metric_can_be():
    spread = Spread(deviation=0.1, degrees=2)
    assert average([0.01, 0.02], [(0.0, 0.05)] * 2, 0.95, spread)[0] == 0.0


def test_the_interval_over_rows_and_seeds_keeps_its_level():
    """A thousand repetitions of an experiment whose truth is known: both parts are normal."""
    random = np.random.default_rng(0)
    held, repetitions, of_rows, of_seeds = 0, 1_000, 0.03, 0.03
    for _ in range(repetitions):
        fits = 0.7 + random.normal(0, of_seeds, size=(4, 3))
        values = (fits[0] + random.normal(0, of_rows)).tolist()
        ends = [(value - 1.96 * of_rows, value + 1.96 * of_rows) for value in values]
        low, high = average(values, ends, 0.95, pool_spread(fits.tolist()))
        held += low < 0.7 < high

    assert 0.93 <= held / repetitions <= 0.98
