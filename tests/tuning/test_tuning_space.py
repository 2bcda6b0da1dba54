"""From project.yaml's search to parameters and an estimator; what does not fit is named."""

from dataclasses import replace

import optuna
import pytest
from tiny_study import SEARCH

from mlflow_ext.errors import SearchError
from mlflow_ext.project import Choices, FloatRange, IntRange
from mlflow_ext.tuning.space import (
    build_estimator,
    check_search,
    fit_point,
    is_whole,
    suggest,
)

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


CONDITIONAL = {
    "kernel": Choices(type="categorical", choices=("linear", "rbf", "poly")),
    "degree": IntRange(type="int", low=2, high=4, when={"kernel": "poly"}),
    "gamma": FloatRange(type="float", low=0.1, high=1.0, when={"kernel": ("rbf", "poly")}),
    "coef0": FloatRange(type="float", low=0.0, high=1.0, when={"degree": (3, 4)}),
}


def test_a_parameter_is_searched_only_when_its_conditions_hold():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [suggest(study.ask(), CONDITIONAL) for _ in range(80)]

    for params in found:
        kernel = params["kernel"]
        assert ("degree" in params) == (kernel == "poly")
        assert ("gamma" in params) == (kernel != "linear")
        assert ("coef0" in params) == (params.get("degree") in (3, 4))
        assert is_whole(params, CONDITIONAL)
    assert {len(params) for params in found} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    "params", [{}, {"kernel": "rbf"}, {"kernel": "linear", "gamma": 0.5}, {"gamma": 0.5}]
)
def test_half_a_proposal_is_not_whole(params):
    assert not is_whole(params, CONDITIONAL)


def test_a_point_of_another_search_is_taken_as_far_as_it_fits():
    point = {"kernel": "poly", "degree": "3", "gamma": "7.5", "coef0": "1e-1", "C": "2"}

    assert fit_point(point, CONDITIONAL) == {"kernel": "poly", "degree": 3, "coef0": 0.1}
    assert fit_point({"kernel": "cosine", "degree": "2.5", "gamma": "none"}, CONDITIONAL) == {}
    mixed = {"mixed": Choices(type="categorical", choices=(True, None, 0.5))}
    assert fit_point({"mixed": "None"}, mixed) == {"mixed": None}


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
def test_what_names_no_estimator_is_refused(path):
    with pytest.raises(SearchError, match="names no estimator"):
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


PIPELINE_MODULE = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

whole = make_pipeline(StandardScaler(), LogisticRegression(C=7.0))

def build(solver="lbfgs"):
    return make_pipeline(StandardScaler(), LogisticRegression(solver=solver))
"""


@pytest.fixture
def pipelines_at_hand(tmp_path, monkeypatch):
    (tmp_path / "own_pipelines.py").write_text(PIPELINE_MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("pipelines_at_hand")
@pytest.mark.parametrize("source", ["whole", "build"])
def test_a_whole_pipeline_is_searched_by_nested_names(source):
    search = replace(
        search_for(f"own_pipelines.{source}"),
        space={"logisticregression__C": SEARCH.space["scale"]},
        fixed={"logisticregression__max_iter": 50},
    )
    check_search(search)
    first, second = (build_estimator(search, {"logisticregression__C": c}) for c in (0.1, 0.2))

    assert [one[-1].C for one in (first, second)] == [0.1, 0.2]
    assert first[-1].max_iter == 50


@pytest.mark.usefixtures("pipelines_at_hand")
def test_a_function_gets_its_own_arguments():
    made = build_estimator(search_for("own_pipelines.build"), {"solver": "saga"})

    assert made[-1].solver == "saga"


@pytest.mark.usefixtures("pipelines_at_hand")
@pytest.mark.parametrize("source", ["whole", "build"])
def test_a_nested_name_that_is_not_there_is_answered_with_the_nearest(source):
    space = {"logisticregresion__C": SEARCH.space["scale"]}

    with pytest.raises(SearchError, match="takes no argument 'logisticregresion__C'") as error:
        check_search(replace(search_for(f"own_pipelines.{source}"), space=space))
    assert "'logisticregression__C'" in error.value.fix


def test_an_estimator_that_takes_any_argument_is_not_checked(tmp_path, monkeypatch):
    source = (
        "class Any:\n    def __init__(self, **kw):\n        self.kw = kw\n    def fit(self): pass\n"
    )
    (tmp_path / "open_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    assert build_estimator(search_for("open_module.Any"), {"whatever": 1}).kw == {"whatever": 1}
