"""From project.yaml's search to parameters and an estimator; what does not fit is named."""

from dataclasses import replace

import optuna
import pytest
from tiny_study import SEARCH

from mlflow_ext.errors import SearchError
from mlflow_ext.project import Choices, FloatRange, IntRange
from mlflow_ext.tuning.space import build_estimator, check_search, suggest

FOREST = replace(SEARCH, estimator="sklearn.ensemble.RandomForestClassifier", fixed={"n_jobs": 1})


def search_for(estimator):
    return replace(SEARCH, estimator=estimator)


def test_every_kind_of_parameter_is_suggested_with_its_own_type_and_inside_its_range():
    space = {
        "rate": FloatRange(type="float", low=0.001, high=1.0, log=True),
        "share": FloatRange(type="float", low=0.0, high=1.0, step=0.25),
        "depth": IntRange(type="int", low=2, high=64, log=True),
        "trees": IntRange(type="int", low=10, high=50, step=20),
        "mixed": Choices(type="categorical", choices=("sqrt", None, True, 7, 0.5)),
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [suggest(study.ask(), space) for _ in range(60)]

    assert all(list(params) == list(space) for params in found)
    assert all(type(p["rate"]) is float and 0.001 <= p["rate"] <= 1 for p in found)
    assert {p["share"] for p in found} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert all(type(p["depth"]) is int and 2 <= p["depth"] <= 64 for p in found)
    assert {p["trees"] for p in found} == {10, 30, 50}
    assert {p["mixed"] for p in found} == {"sqrt", None, True, 7, 0.5}


def test_a_log_range_is_sampled_evenly_over_its_magnitudes():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = {"rate": FloatRange(type="float", low=0.0001, high=1.0, log=True)}
    below = [suggest(study.ask(), space)["rate"] < 0.01 for _ in range(400)]

    assert 0.4 < sum(below) / len(below) < 0.6


def test_the_estimator_gets_the_fixed_and_the_searched_arguments():
    forest = build_estimator(FOREST, {"max_depth": 3})

    assert type(forest).__name__ == "RandomForestClassifier"
    assert (forest.n_jobs, forest.max_depth) == (1, 3)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("sklearn.ensemble.RandomForestClasifier", "sklearn.ensemble.RandomForestClassifier"),
        ("sklearn.ensembel.RandomForestClassifier", "sklearn.ensemble.RandomForestClassifier"),
        ("sklearn.linear_models.LogisticRegresion", "sklearn.linear_model.LogisticRegression"),
    ],
)
def test_a_misspelt_path_is_answered_with_the_nearest_one(path, meant):
    with pytest.raises(SearchError) as error:
        build_estimator(search_for(path), {})

    assert path in error.value.found
    assert f"'{meant}'" in error.value.fix


@pytest.mark.parametrize(
    "path",
    [
        "forest",
        "no_such_package.Forest",
        "sklearn.metrics.roc_auc_score",
        "sklearn..x",
        ".svm.SVC",
    ],
)
def test_what_names_no_estimator_class_is_refused(path):
    with pytest.raises(SearchError, match="names no estimator class"):
        build_estimator(search_for(path), {})


def test_a_module_that_does_not_import_is_named_with_its_cause(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("import not_installed_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SearchError, match="not_installed_at_all") as error:
        build_estimator(search_for("broken_module.Forest"), {})
    assert "broken_module" in error.value.found


def test_an_unknown_argument_is_answered_with_the_nearest_one():
    with pytest.raises(SearchError) as error:
        build_estimator(FOREST, {"max_dept": 3})

    assert "'max_dept'" in error.value.found
    assert "'max_depth'" in error.value.fix


@pytest.mark.parametrize("part", ["fixed", "space"])
def test_unknown_arguments_are_found_before_the_study_begins(part):
    wrong = replace(FOREST, space={"max_depth": SEARCH.space["power"]})
    check_search(wrong)
    values = {"n_job": 1} if part == "fixed" else {"n_job": SEARCH.space["power"]}

    with pytest.raises(SearchError, match="takes no argument 'n_job'"):
        check_search(replace(wrong, **{part: values}))


def test_an_estimator_that_takes_any_argument_is_not_checked(tmp_path, monkeypatch):
    source = (
        "class Any:\n    def __init__(self, **kw):\n        self.kw = kw\n    def fit(self): pass\n"
    )
    (tmp_path / "open_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    assert build_estimator(search_for("open_module.Any"), {"whatever": 1}).kw == {"whatever": 1}
