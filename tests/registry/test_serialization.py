"""Which models go by skops and which need cloudpickle."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from mlflow_ext.registry.serialization import choose_serialization

NUMBERS, CATEGORIES = ["hour", "distance"], ["carrier"]


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "hour": random.integers(0, 24, 200),
            "distance": random.normal(1000, 300, 200),
            "carrier": random.choice(["UA", "DL", None], 200),
        }
    )


def preprocess():
    return ColumnTransformer(
        [
            ("numbers", SimpleImputer(), NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ]
    )


def boosting():
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    return FixedThresholdClassifier(make_pipeline(preprocess(), model), threshold=0.3)


def forest():
    return make_pipeline(preprocess(), RandomForestClassifier(5, random_state=0))


def with_lambda():
    """Code that exists only in this process: no format but cloudpickle carries it."""
    return make_pipeline(FunctionTransformer(lambda x: x * 2), LogisticRegression())


def fit(model, rows):
    return model.fit(rows, (rows["hour"] > 12).astype(int))


@pytest.mark.parametrize(
    ("make", "trusted"),
    [
        (
            boosting,
            ("numpy.dtype", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"),
        ),
        (forest, ("numpy.dtype", "sklearn.tree._tree.Tree")),
    ],
)
def test_what_skops_can_carry_goes_by_skops_with_its_types_pinned(make, trusted, rows):
    form = choose_serialization(fit(make(), rows), rows)
    assert form.format == "skops"
    assert form.trusted_types == trusted


def test_what_skops_cannot_carry_goes_by_cloudpickle(rows):
    form = choose_serialization(fit(with_lambda(), rows[NUMBERS].assign()), rows[NUMBERS])
    assert (form.format, form.trusted_types) == ("cloudpickle", ())


def test_a_type_that_lives_in_the_main_program_goes_by_cloudpickle(rows, monkeypatch):
    import __main__

    def double(x):
        return x * 2

    double.__module__, double.__qualname__ = "__main__", "double"
    monkeypatch.setattr(__main__, "double", double, raising=False)
    model = make_pipeline(FunctionTransformer(double), LogisticRegression())
    form = choose_serialization(fit(model, rows[NUMBERS].assign()), rows[NUMBERS])
    assert form.format == "cloudpickle"
