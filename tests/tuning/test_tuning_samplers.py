"""What proposes trials, what stops them and what ends a search, as project.yaml asks for it."""

import math
from dataclasses import replace
from itertools import count, product

import optuna
import pytest
from optuna.trial import TrialState
from tiny_study import essence
from wide_study import SEARCH

from mlflow_ext.errors import NoTrialCompletedError, SearchError
from mlflow_ext.project import Aim, Choices, Constraint, FloatRange, IntRange
from mlflow_ext.tuning.attributes import EXCESS
from mlflow_ext.tuning.journal import begin_study, open_store, open_study
from mlflow_ext.tuning.samplers import (
    MOST_POINTS,
    STAGNATION,
    list_points,
    make_pruner,
    make_sampler,
)
from mlflow_ext.tuning.space import suggest
from mlflow_ext.tuning.study import run_study

GRID = {
    "kind": Choices(type="categorical", choices=("line", "bend")),
    "power": IntRange(type="int", low=1, high=5, step=2, when={"kind": "bend"}),
    "share": FloatRange(type="float", low=0.0, high=0.3, step=0.1),
}


def run(folder, objective, **changes):
    return run_study(replace(SEARCH, **changes), objective, name="a", storage_dir=folder)


def trials_of(folder, **changes):
    return open_study(replace(SEARCH, **changes), "a", folder).trials


def bowl(trial):
    params = suggest(trial, SEARCH.space)
    return -(params["x"] ** 2) - params["y"] ** 2


def test_a_grid_is_tried_point_by_point_and_then_ends(tmp_path):
    grid = {"sampler": "grid", "space": GRID}
    parts = [run(tmp_path, lambda trial: 1.0, n_trials=n, **grid).n_complete for n in (5, 99, 99)]
    tried = [tuple(trial.params.values()) for trial in trials_of(tmp_path, **grid)]

    shares = (0.0, 0.1, 0.2, 0.3)
    expected = [("line", s) for s in shares]
    expected += [("bend", power, s) for power, s in product((1, 3, 5), shares)]
    assert parts == [5, 16, 16]
    assert all(point in expected for point in tried)
    assert len(set(tried)) == len(expected) == 16


def test_a_grid_begun_with_few_trials_is_spread_by_its_seed(tmp_path):
    firsts = []
    for seed in (0, 1):
        kinds = {"sampler": "grid", "space": GRID, "seed": seed, "n_trials": 4}
        run(tmp_path / str(seed), lambda trial: 1.0, **kinds)
        firsts.append([trial.params for trial in trials_of(tmp_path / str(seed), **kinds)])

    assert firsts[0] != firsts[1]


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "cmaes", "nsga2"])
def test_a_sampler_that_comes_after_another_proposes_what_a_new_one_would(sampler):
    search = replace(SEARCH, sampler=sampler)

    def propose(*last):
        study = optuna.create_study(sampler=make_sampler(search, 3, *last))
        return suggest(study.ask(), SEARCH.space)

    used = make_sampler(search, 2)
    suggest(optuna.create_study(sampler=used).ask(), SEARCH.space)

    assert propose(used) == propose(used) == propose()


def test_a_grid_too_large_to_list_is_refused():
    wide = {f"p{n}": IntRange(type="int", low=0, high=99) for n in range(3)}

    with pytest.raises(SearchError, match=f"more than {MOST_POINTS} points"):
        list_points(wide)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "qmc"])
def test_several_objectives_end_with_the_trials_that_none_beats(tmp_path, sampler):
    changes = {"objectives": (Aim(metric="brier", direction="minimize"),), "sampler": sampler}

    def trade(trial):
        params = suggest(trial, SEARCH.space)
        return params["x"], params["x"] ** 2 + abs(params["y"])

    result = run(tmp_path, trade, n_trials=25, **changes)
    trials = trials_of(tmp_path, **changes)

    study = open_study(replace(SEARCH, **changes), "a", tmp_path)
    assert set(result.best_trials) == {trial.number for trial in study.best_trials}
    assert result.best_trial == result.best_trials[0]
    assert result.best_value == max(trials[number].values[0] for number in result.best_trials)


def test_a_trial_with_too_few_values_fails_with_the_reason(tmp_path):
    changes = {"objectives": (Aim(metric="brier", direction="minimize"),)}

    with pytest.raises(NoTrialCompletedError, match="1 values for 2 objectives"):
        run(tmp_path, bowl, n_trials=2, **changes)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_trial_that_breaks_a_constraint_never_wins(tmp_path, sampler):
    changes = {"constraints": (Constraint(metric="brier", max=0.0),), "sampler": sampler}

    def bounded(trial):
        x = suggest(trial, SEARCH.space)["x"]
        trial.set_user_attr(EXCESS, [x])  # the higher x the better, but not above 0
        return x

    result = run(tmp_path, bounded, n_trials=30, **changes)
    trials = trials_of(tmp_path, **changes)

    assert max(trial.value for trial in trials) > 0
    assert result.best_value == max(trial.value for trial in trials if trial.value <= 0)


def test_when_every_trial_breaks_a_constraint_there_is_no_winner(tmp_path):
    def broken(trial):
        trial.set_user_attr(EXCESS, [0.5])
        return bowl(trial)

    with pytest.raises(NoTrialCompletedError, match="keeps the constraints: 3 COMPLETE"):
        run(
            tmp_path,
            broken,
            n_trials=3,
            constraints=(Constraint(metric="brier", max=0.1),),
            sampler="tpe",
        )


def test_the_terminator_ends_a_search_that_finds_nothing_better(tmp_path):
    result = run(tmp_path, lambda trial: -float(trial.number > 4), n_trials=200, terminator=True)

    assert result.n_complete == STAGNATION + 1
    assert run(tmp_path, bowl, n_trials=200, terminator=True) == result


@pytest.mark.parametrize("flaw", ["breaks a constraint", "is infinite"])
def test_what_cannot_win_does_not_hide_from_the_terminator_that_others_get_better(tmp_path, flaw):
    constraints = (Constraint(metric="brier", max=0.2),) if "constraint" in flaw else ()

    def improving(trial):
        is_flawed = trial.number == 0
        if constraints:
            trial.set_user_attr(EXCESS, [1.0 if is_flawed else -1.0])
        return (1e6 if constraints else math.inf) if is_flawed else float(trial.number)

    changes = {"terminator": True, "constraints": constraints, "sampler": "tpe"}
    result = run(tmp_path, improving, n_trials=STAGNATION + 6, **changes)

    assert (result.n_complete, result.best_value) == (STAGNATION + 6, STAGNATION + 5)


@pytest.mark.parametrize(
    ("pruner", "kind"),
    [
        ("median", optuna.pruners.MedianPruner),
        ("percentile", optuna.pruners.PercentilePruner),
        ("hyperband", optuna.pruners.HyperbandPruner),
        ("successive_halving", optuna.pruners.SuccessiveHalvingPruner),
    ],
)
def test_every_pruner_stops_hopeless_trials(tmp_path, pruner, kind):
    def stepwise(trial):
        suggest(trial, SEARCH.space)
        value = float(trial.number % 2 == 0)
        for step in range(8):
            trial.report(value + step / 100, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    changes = {"pruner": pruner, "fractions": tuple((n + 1) / 8 for n in range(8))}
    run(tmp_path, stepwise, n_trials=40, **changes)
    pruned = [t for t in trials_of(tmp_path, **changes) if t.state is TrialState.PRUNED]

    assert type(make_pruner(replace(SEARCH, **changes))) is kind
    assert pruned
    assert all(trial.number % 2 for trial in pruned)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_study_of_several_objectives_replays_from_its_seed(tmp_path, sampler):
    changes = {"objectives": (Aim(metric="brier", direction="minimize"),), "sampler": sampler}
    for folder, steps in (("whole", (70,)), ("parts", (8, 55, 70))):
        for n_trials in steps:
            run(tmp_path / folder, lambda t: (bowl(t), t.params["x"]), n_trials=n_trials, **changes)
    whole, parts = (trials_of(tmp_path / folder, **changes) for folder in ("whole", "parts"))

    assert [trial.params for trial in whole] == [trial.params for trial in parts]


@pytest.mark.parametrize("sampler", ["cmaes", "qmc"])
def test_a_sampler_that_keeps_its_place_in_the_study_goes_on_where_it_was(tmp_path, sampler):
    kind = Choices(type="categorical", choices=("line", "bend"))
    steps = IntRange(type="int", low=1, high=9, step=2)
    changes = {"sampler": sampler, "space": {**SEARCH.space, "kind": kind, "steps": steps}}

    def bowl_of_all(trial):
        params = suggest(trial, changes["space"])
        return -(params["x"] ** 2) - params["y"] ** 2 + params["steps"]

    for folder, ends in (("whole", (40,)), ("parts", (1, 17, 40))):
        for n_trials in ends:
            run(tmp_path / folder, bowl_of_all, n_trials=n_trials, **changes)
    whole, parts = (trials_of(tmp_path / folder, **changes) for folder in ("whole", "parts"))

    assert [trial.params for trial in whole] == [trial.params for trial in parts]
    assert len({trial.params["x"] for trial in whole}) == 40
    assert {trial.params["kind"] for trial in whole} == {"line", "bend"}
    assert len({trial.params["steps"] for trial in whole}) == 5


# In the first trial, in one that improves cmaes' idea of the space, behind the first population
# of nsga2, and twice in a row.
INTERRUPTED = (0, 7, 13, 14, 52, 56)


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "cmaes", "nsga2", "grid"])
@pytest.mark.parametrize("where", ["journal", "database"])
def test_an_interrupted_study_proposes_what_an_unbroken_one_would(tmp_path, sampler, where):
    step = 0.125 if sampler == "grid" else None
    space = {n: FloatRange(type="float", low=-1.0, high=1.0, step=step) for n in "ab"}
    kind = Choices(type="categorical", choices=("line", "bend"))
    space |= {"kind": kind, "n": IntRange(type="int", low=1, high=9, step=2, when={"kind": "bend"})}
    points = ({"a": 0.5}, {"a": 0.25, "b": 0.5, "kind": "line"}, {"kind": "bend"})

    def search_in(folder):
        storage = f"sqlite:///{tmp_path / folder}.db" if where == "database" else None
        base = replace(SEARCH, sampler=sampler, space=space, storage=storage, enqueue=points)
        return replace(base, n_trials=62 if where == "journal" else 20)

    def interrupted(folder, moments):
        calls = count()

        def bowl_of_all(trial):
            params = suggest(trial, space)
            if next(calls) in moments:
                raise KeyboardInterrupt
            return params.get("n", 0) - params["a"] ** 2 - params["b"] ** 2

        return run_study(search_in(folder), bowl_of_all, name="a", storage_dir=tmp_path / folder)

    interrupted("whole", ())
    for moment in [*INTERRUPTED, None]:
        done = len(
            [t for t in open_study(search_in("cut"), "a", tmp_path / "cut").trials if t.values]
        )
        try:
            interrupted("cut", () if moment is None else (moment - done,))
        except KeyboardInterrupt:
            continue
    whole, cut = (open_study(search_in(f), "a", tmp_path / f).trials for f in ("whole", "cut"))

    assert len(cut) - len(whole) == (6 if where == "journal" else 4)
    assert essence(cut) == essence(whole)


def test_cmaes_closes_in_on_the_best_point(tmp_path):
    run(tmp_path, bowl, n_trials=80, sampler="cmaes")
    trials = trials_of(tmp_path, sampler="cmaes")

    early, late = (sum(trial.value for trial in part) for part in (trials[:20], trials[-20:]))
    assert late > early / 3


def test_points_known_to_be_good_are_the_first_trials_and_only_once(tmp_path):
    search = replace(SEARCH, n_trials=4, enqueue=({"x": 0.5, "y": -0.5}, {"x": 0.25}))
    for _ in range(2):
        store = open_store(search, "a", tmp_path)
        begin_study(store, search, "a", first=[{"x": 0.75, "y": 0.75}])
    run_study(search, bowl, name="a", storage_dir=tmp_path)
    trials = open_study(search, "a", tmp_path).trials

    assert [trial.params["x"] for trial in trials[:3]] == [0.75, 0.5, 0.25]
    assert [trial.params["y"] for trial in trials[:2]] == [0.75, -0.5]
    assert len(trials) == 4


def test_a_point_that_is_listed_twice_is_tried_once(tmp_path):
    point, near = {"x": 0.5, "y": 0.5}, {"x": 0.5, "y": 0.5 + 1e-9}
    search = replace(SEARCH, n_trials=4, enqueue=(point, near, point))
    begin_study(open_store(search, "a", tmp_path), search, "a", first=[near])
    run_study(search, bowl, name="a", storage_dir=tmp_path)
    tried = [trial.params for trial in open_study(search, "a", tmp_path).trials]

    assert tried[:2] == [near, point]
    assert len({tuple(params.items()) for params in tried}) == 4


def test_three_hundred_parameters_and_choices_are_no_burden(tmp_path):
    space = {f"p{n}": FloatRange(type="float", low=0.0, high=1.0) for n in range(299)}
    space["kind"] = Choices(type="categorical", choices=tuple(f"choice {n}" for n in range(300)))
    changes = {"space": space, "sampler": "tpe"}
    result = run(tmp_path, lambda t: len(suggest(t, space)), n_trials=12, **changes)

    assert (result.n_complete, len(result.best_params)) == (12, 300)
    assert {t.params["kind"] for t in trials_of(tmp_path, **changes)} <= set(space["kind"].choices)
