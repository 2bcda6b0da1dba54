"""What `mlflow.models.evaluate` gets from us: every metric, its interval, slices and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import EvaluatorConfigError
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.report import log_evaluation
from mlflow_ext.evaluation.slices import MINIMUM_ROWS, slice_table
from mlflow_ext.settings import find_mistake, validate

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.data.evaluation_dataset import EvaluationDataset
    from mlflow.entities import Dataset
    from mlflow.models.evaluation import EvaluationArtifact, EvaluationResult

Text = Annotated[str, Field(min_length=1)]
FIGURES = ("roc", "pr", "calibration", "confusion")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class EvaluatorOptions:
    """What may stand in ``evaluator_config={"mlflow_ext": {...}}``."""

    split: Text = "test"
    """What the rows are called: metrics are named ``SPLIT.METRIC``."""
    positive: int | str = 1
    """The class whose probability is judged, as it is written in the targets."""
    probability: Text | None = None
    """Column of the data that holds that probability; without it the model is asked, or the
    ``predictions`` are taken, where there is no model."""
    decision_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which the positive class is predicted."""
    slices: tuple[Text, ...] = ()
    """Columns of the data to break the metrics down by."""
    minimum_rows: Annotated[int, Field(ge=1)] = MINIMUM_ROWS
    """Rows below which a slice is listed without metrics."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Confidence of the intervals."""


def read_options(config: Mapping[str, Any]) -> EvaluatorOptions:
    """Read the options of our evaluator.

    Raises:
        EvaluatorConfigError: There is no such option, or one has a wrong value.
    """
    try:
        return validate(EvaluatorOptions, config)
    except ValidationError as error:
        mistake = find_mistake(EvaluatorOptions, error)
        raise EvaluatorConfigError(mistake.found, mistake.expected, mistake.fix) from None


def log_result(
    options: EvaluatorOptions,
    predictions: Predictions,
    frame: pd.DataFrame,
    dataset: EvaluationDataset,
    model_id: str | None,
) -> EvaluationResult:
    """Evaluate in the active run, and return what MLflow hands to its caller.

    Args:
        options: How.
        predictions: What was predicted.
        frame: The rows that were scored, in the order of *predictions*.
        dataset: MLflow's ``EvaluationDataset`` of those rows, to which the metrics are linked.
        model_id: The logged model that predicted, if there is one.

    Raises:
        UnknownNameError: A column to slice by is not there.
        TableError: The rows hold one class only.
    """
    from mlflow.models.evaluation import EvaluationResult

    logged = _find_logged(dataset)
    slices = {
        options.split: slice_table(
            frame, predictions, options.slices, minimum_rows=options.minimum_rows
        )
    }
    found = log_evaluation(
        [predictions],
        slices if options.slices else {},
        model_id=model_id,
        datasets={options.split: logged} if logged else None,
        level=options.level,
    )
    values = found[options.split].values
    return EvaluationResult(values, _artifacts(options))  # type: ignore[no-untyped-call]


def _find_logged(dataset: EvaluationDataset) -> Dataset | None:
    """Find the dataset as MLflow has logged it with the active run before it asked us."""
    import mlflow

    active = mlflow.active_run()
    inputs = mlflow.MlflowClient().get_run(active.info.run_id).inputs if active else None
    logged = (each.dataset for each in (inputs.dataset_inputs if inputs else ()))
    return next((each for each in logged if each.digest == dataset.digest), None)


def _artifacts(options: EvaluatorOptions) -> dict[str, EvaluationArtifact]:
    import mlflow
    from mlflow.models.evaluation.artifacts import ImageEvaluationArtifact, JsonEvaluationArtifact

    files: dict[str, tuple[str, Callable[[str], EvaluationArtifact]]] = {
        "evaluation": ("evaluation.json", JsonEvaluationArtifact),
        **{name: (f"figures/{name}.png", ImageEvaluationArtifact) for name in FIGURES},
    }
    if options.slices:
        files["slices"] = (f"slices/{options.split}.json", JsonEvaluationArtifact)
    found = {name: kind(mlflow.get_artifact_uri(path)) for name, (path, kind) in files.items()}
    for artifact in found.values():
        # `EvaluationResult.save` writes what is in memory only.
        artifact._load()  # type: ignore[no-untyped-call]
    return found
