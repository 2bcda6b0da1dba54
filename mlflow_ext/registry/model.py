"""Registering a trained model: a file that loads back the same, and a version that says whence."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

from mlflow_ext.data.model_answer import EXPECTED, ask
from mlflow_ext.errors import RegistryStateError
from mlflow_ext.registry import tags
from mlflow_ext.registry.card import ModelCard
from mlflow_ext.registry.connection import reaching
from mlflow_ext.registry.serialization import SKOPS, Serialization, choose_serialization
from mlflow_ext.registry.snapshot import read_snapshot
from mlflow_ext.tracking.active import active_run

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models.model import ModelInfo

REQUIRED = ("mlflow", "scikit-learn", "numpy", "pandas", "scipy", "skops", "cloudpickle")


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A model file in MLflow, not yet in the registry."""

    model_id: str
    """Id of MLflow's logged model, ``m-…``."""
    run_id: str
    """The run that trained it."""
    serialization: str
    """``skops`` or ``cloudpickle``."""

    @property
    def uri(self) -> str:
        """Address of the model file, ``models:/m-…``."""
        return f"models:/{self.model_id}"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A version in the registry."""

    model: str
    version: int
    logged: LoggedModel


def log_model(model: Any, example: pd.DataFrame) -> LoggedModel:
    """Log *model* in the active run, and make sure that it loads back as the same model.

    Args:
        model: A fitted scikit-learn estimator.
        example: A few rows of features; whole numbers are declared as doubles in the signature.

    Returns:
        Where it lies, and how it was written.

    Raises:
        NoActiveRunError: No run is active.
        RegistryStateError: The file loads back as another model.
        StoreUnreachableError: The store does not answer.
    """
    import mlflow

    run = active_run()
    with reaching(mlflow.MlflowClient()):
        info, form = _log(model, as_doubles(example))
        mlflow.set_tag(tags.SERIALIZATION, form.format)
    return LoggedModel(model_id=info.model_id, run_id=run.info.run_id, serialization=form.format)


def choose_example(rows: pd.DataFrame, size: int = 5) -> pd.DataFrame:
    """Choose rows that show what a model takes: the first ones, and one for each column with gaps.

    MLflow declares a column as required when the example has a value in each of its rows.

    Args:
        rows: Features that the model was fitted on.
        size: How many of the first ones.

    Returns:
        At most *size* rows and one for each column, in the order of *rows*.
    """
    missing = rows.isna()
    gaps = {int(missing[name].to_numpy().argmax()) for name in rows if missing[name].any()}
    return rows.iloc[sorted(gaps | set(range(min(size, len(rows)))))]


def register_model(client: MlflowClient, logged: LoggedModel, card: ModelCard) -> Registration:
    """Register a logged model as a version of the project's model, which `describe_model` creates.

    A logged model is registered once: asking again returns the version that is already there.

    Args:
        client: The registry.
        logged: What `log_model` returned.
        card: What belongs to the version beside the file.

    Returns:
        The version.

    Raises:
        ModelNotFoundError: The model has not been described.
        StoreUnreachableError: The registry does not answer.
    """
    name = card.project.promotion.model
    version = _find_version(client, name, logged)
    if version is None:
        with reaching(client):
            trained = client.get_run(logged.run_id).data.tags
            version = client.create_model_version(
                name,
                source=logged.uri,
                run_id=logged.run_id,
                model_id=logged.model_id,  # a server takes no `models:/m-…` source without it
                tags={
                    **card.version_tags,
                    **{key: trained[key] for key in _PROVENANCE if key in trained},
                    tags.SERIALIZATION: logged.serialization,
                },
            )
    return Registration(model=name, version=int(version.version), logged=logged)


def as_doubles(frame: pd.DataFrame) -> pd.DataFrame:
    """Return *frame* with whole numbers as doubles, which is what the signature asks for.

    A whole number that may be missing arrives as a double, and MLflow refuses to convert an int64
    column to double when a loaded model is called with one.
    """
    whole = frame.select_dtypes("integer").columns
    return frame.astype(dict.fromkeys(whole, "float64"))


_PROVENANCE = (tags.COMMIT, tags.DIRTY)


def _find_version(client: MlflowClient, name: str, logged: LoggedModel) -> ModelVersion | None:
    versions = read_snapshot(client, name).versions.values()
    return next((version for version in versions if version.source == logged.uri), None)


def _log(model: Any, example: pd.DataFrame) -> tuple[ModelInfo, Serialization]:
    import mlflow

    form = choose_serialization(model, example)
    answer = model.predict(example)
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=mlflow.models.infer_signature(example, answer),
        input_example=example,
        pip_requirements=[f"{name}=={installed_version(name)}" for name in REQUIRED],
        serialization_format=form.format,
        skops_trusted_types=list(form.trusted_types) if form.format == SKOPS else None,
        metadata={EXPECTED: ask(model, model, example)},
    )
    _verify(info.model_uri, example, answer)
    return info, form


def _verify(uri: str, example: pd.DataFrame, answer: Any) -> None:
    import mlflow
    import numpy as np

    again = mlflow.pyfunc.load_model(uri).predict(example)
    if not np.array_equal(np.asarray(again), np.asarray(answer)):
        raise RegistryStateError(
            f"{uri} answers otherwise than the model that was logged",
            "equal predictions on the input example",
            "make the estimator's state survive pickling, then register again",
        )
