"""What the model sees: one scikit-learn object that turns a raw feature frame into predictions.

Everything serving needs travels inside that object (missing values, scaling, categories, the
decision threshold), and it is made of scikit-learn parts only: whoever loads the model needs
nothing of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_ext.errors import TableError, nearest, one_of

if TYPE_CHECKING:
    import pandas as pd

TRAINING = "training"
RARE = 0.01  # share of the training rows below which a category is pooled with the unseen ones
MOST_CATEGORIES = 50  # bounds the width of a column such as a tail number


def make_preprocessor(numeric: Sequence[str], categorical: Sequence[str]) -> Any:
    """Build the transformer that any scikit-learn classifier can stand behind.

    Numbers: median where missing, an indicator column that says so, unit variance. Categories: one
    column each; a missing value is a category of its own when training saw one; a category that is
    rare or was never seen goes to a pooled column, or to none where training saw no rare one.

    Args:
        numeric: Names of the number columns.
        categorical: Names of the category columns.

    Returns:
        An unfitted ColumnTransformer. It picks columns by name: their order does not matter, other
        columns are ignored, and integers given as floats are the same numbers.
    """
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer(
        [("numeric", _numbers(), list(numeric)), ("categorical", _categories(), list(categorical))]
    )


def make_model(
    numeric: Sequence[str],
    categorical: Sequence[str],
    estimator: Any,
    decision_threshold: float,
) -> Any:
    """Build the whole model: preprocessing, *estimator* and the decision threshold.

    Args:
        numeric: Names of the number columns.
        categorical: Names of the category columns.
        estimator: An unfitted classifier with ``predict_proba``.
        decision_threshold: Probability from which ``predict`` says 1, in (0, 1).

    Returns:
        An unfitted classifier for labels 0 and 1 that takes a data frame; ``predict_proba`` is the
        estimator's own.
    """
    from sklearn.model_selection import FixedThresholdClassifier
    from sklearn.pipeline import Pipeline

    steps = [("columns", make_preprocessor(numeric, categorical)), ("classifier", estimator)]
    return FixedThresholdClassifier(
        Pipeline(steps), threshold=decision_threshold, response_method="predict_proba"
    )


def check_training_table(frame: pd.DataFrame, features: Sequence[str], target: str) -> None:
    """Refuse a table that no model can learn from.

    Args:
        frame: The training rows.
        features: Columns the model will see.
        target: The label column, holding 0 and 1.

    Raises:
        TableError: A column is missing, there are no rows, a feature is empty or infinite, or the
            target is missing somewhere, is not 0 or 1, or has one class only.
    """
    _check_columns(frame, [*features, target])
    _check_rows(frame)
    for feature in features:
        _check_feature(frame[feature])
    _check_target(frame[target])


def _numbers() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A tuning trial fits on a small share of the rows, where a sparse column can be all missing.
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(imputer, StandardScaler())


def _categories() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    # None, NaN and pandas.NA become one missing value. A methodcaller is pickled by value and skops
    # knows it, where a function of ours would have to be importable wherever the model is loaded.
    one_missing = [
        FunctionTransformer(methodcaller(*call), feature_names_out="one-to-one")
        # pandas 2 turns a column of objects without any value into numbers when it fills it.
        for call in (("astype", "object"), ("fillna", np.nan), ("astype", "object"))
    ]
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=RARE,
        max_categories=MOST_CATEGORIES,
        sparse_output=False,
    )
    return make_pipeline(*one_missing, encoder)


def _check_columns(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    present = [str(name) for name in frame.columns]
    for column in wanted:
        if column not in present:
            guess = nearest(column, present)
            mend = f"write '{guess}' instead of" if guess else "build, or take out of project.yaml,"
            raise TableError(
                TRAINING, f"no column '{column}'", one_of(present), f"{mend} '{column}'"
            )


def _check_rows(frame: pd.DataFrame) -> None:
    if frame.empty:
        raise TableError(TRAINING, "no rows", "at least one row", "choose months that have data")


def _check_feature(values: pd.Series[Any]) -> None:
    missing = values.isna()
    if missing.all():
        fix = f"remove '{values.name}' from the features in project.yaml, or mend its source"
        found = f"column '{values.name}' is null in all {len(values)} rows"
        raise TableError(TRAINING, found, "some values", fix)
    if values.dtype.kind == "f":
        infinite = int(np.isinf(values[~missing].to_numpy(dtype=float)).sum())
        if infinite:
            found = f"column '{values.name}' is infinite in {infinite} of {len(values)} rows"
            raise TableError(TRAINING, found, "finite numbers or null", "write null instead")


def _check_target(labels: pd.Series[Any]) -> None:
    values = labels.unique()
    if labels.isna().any() or set(values) != {0, 1}:
        raise TableError(
            TRAINING,
            f"target '{labels.name}' holds {', '.join(sorted(map(str, values))[:5])}",
            "both classes, 0 and 1, and no null",
            "choose months that have both outcomes, and drop rows without a label",
        )
