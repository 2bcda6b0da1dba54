"""Ask the files of a registered model, of whatever flavor, for the probability of one class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import UnusableModelError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel
    from mlflow.types import ColSpec

    from mlflow_ext.evaluation.predictions import Array

PROBABILITIES = "probabilities: an estimator with predict_proba, or a pyfunc that returns them"


@dataclass(frozen=True)
class Question:
    """What a model is asked."""

    rows: pd.DataFrame
    """One row per case; every column but the target."""
    positive: int | str
    """The class whose probability is wanted."""


def load(files: Path, uri: str) -> PyFuncModel:
    """Load a model of whatever flavor. That runs its code.

    Args:
        files: A local folder with an ``MLmodel``.
        uri: The model's name in messages.

    Raises:
        UnusableModelError: It cannot be loaded.
    """
    import mlflow

    with _failing(uri, "it cannot be loaded"):
        model: PyFuncModel = mlflow.pyfunc.load_model(str(files))
        return model


def ask(model: PyFuncModel, uri: str, question: Question) -> Array:
    """Ask a model for the probability of one class.

    Args:
        model: As loaded.
        uri: Its name in messages.
        question: Rows and class.

    Returns:
        Shape (rows,): what the model says is the probability of the class.

    Raises:
        UnusableModelError: It needs columns that are not there, fails, or returns no probabilities
            of that class.
    """
    is_described = hasattr(model, "metadata")  # a Python function is not
    rows = select_inputs(model.metadata, uri, question.rows) if is_described else question.rows
    with _failing(uri, f"it fails on the rows with columns {list(rows.columns)}"):
        answer = _answer(model, rows)
    return _choose(answer, uri, question.positive)


def ask_estimator(estimator: Any, uri: str, question: Question) -> Array:
    """Ask a fitted estimator as `ask` asks a model, with rows that its signature has selected.

    Raises:
        UnusableModelError: It has not learned the class, or returns no probabilities.
    """
    return _choose(_ask_all(estimator, question.rows), uri, question.positive)


def read_metadata(files: Path, uri: str) -> Model:
    """Read what the ``MLmodel`` of a model says, without running any of its code.

    Args:
        files: A local folder with an ``MLmodel``.
        uri: The model's name in messages.

    Raises:
        UnusableModelError: There is none, or it cannot be read.
    """
    from mlflow.models import Model

    with _failing(uri, "its MLmodel cannot be read"):
        metadata: Model = Model.load(files)
        return metadata


@contextmanager
def _failing(uri: str, what: str) -> Iterator[None]:
    """Whatever the code of a model raises is one error: no verdict."""
    try:
        yield
    except Exception as error:
        cause = f"{what}: {type(error).__name__}: {error}"
        fix = "register a version that loads and predicts in this environment: mlflow-ext doctor"
        raise UnusableModelError(uri, cause, PROBABILITIES, fix) from error


def select_inputs(metadata: Model, uri: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Select what the signature names, whole numbers as doubles where it asks for doubles.

    MLflow itself refuses that conversion; without a signature, the model gets every column.

    Args:
        metadata: What the ``MLmodel`` of the model says.
        uri: The model's name in messages.
        rows: One row per case.

    Raises:
        UnusableModelError: A column that it requires is not there.
    """
    from mlflow.types import DataType

    asked = named_inputs(metadata)
    for name, spec in asked.items():
        if spec.required and name not in rows:
            guess = nearest(name, rows.columns)
            fix = f"rename '{guess}' to '{name}'" if guess else f"add '{name}' to the data"
            raise UnusableModelError(uri, f"it needs the column '{name}'", "it in the data", fix)
    chosen = rows[[name for name in asked if name in rows]] if asked else rows
    whole = chosen.select_dtypes("integer").columns
    doubles = [name for name in whole if name in asked and asked[name].type is DataType.double]
    return chosen.astype(dict.fromkeys(doubles, "float64"))


def named_inputs(metadata: Model) -> dict[str, ColSpec]:
    """Return the named inputs of the signature; nothing for tensors, or without a signature."""
    from mlflow.types import ColSpec

    schema = metadata.get_input_schema()  # type: ignore[no-untyped-call]
    inputs = schema.inputs if schema else []
    return {spec.name: spec for spec in inputs if isinstance(spec, ColSpec) and spec.name}


def _answer(model: PyFuncModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Return one column per class; a single one without a name is about the positive class."""
    import pandas as pd

    estimator = find_estimator(model)
    return pd.DataFrame(model.predict(rows)) if estimator is None else _ask_all(estimator, rows)


def _ask_all(estimator: Any, rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(estimator.predict_proba(rows), columns=list(estimator.classes_))


def find_estimator(model: PyFuncModel) -> Any:
    """Return the estimator inside, if it gives probabilities: its pyfunc would give classes."""
    try:
        raw = model.get_raw_model()  # type: ignore[no-untyped-call]
    except (NotImplementedError, AttributeError):  # of another flavor, or a Python function
        return None
    return raw if hasattr(raw, "predict_proba") and hasattr(raw, "classes_") else None


def _choose(answer: pd.DataFrame, uri: str, positive: int | str) -> Array:
    import numpy as np

    names = [str(name) for name in answer.columns]
    position = (
        0 if len(names) == 1 else names.index(str(positive)) if str(positive) in names else -1
    )
    column = answer.iloc[:, position].to_numpy()
    if position < 0 or not np.issubdtype(column.dtype, np.floating):
        found = f"it returns columns {names} of {column.dtype}"
        fix = "log the estimator itself, or a pyfunc with pyfunc_predict_fn='predict_proba'"
        raise UnusableModelError(uri, found, f"{PROBABILITIES}, of class {positive!r}", fix)
    return column.astype(float)
