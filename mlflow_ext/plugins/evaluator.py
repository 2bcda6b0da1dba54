"""``mlflow.model_evaluator``: our metrics with their intervals, slices and figures.

``mlflow.models.evaluate(model, data, targets="late", model_type="classifier",
evaluators=["default", "mlflow_ext"], evaluator_config={"mlflow_ext": {"slices": ["carrier"]}})``;
the options are those of `mlflow_ext.evaluation.evaluator.EvaluatorOptions`. Custom metrics and
artifacts are left to MLflow's own evaluator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow.models.evaluation.base import ModelEvaluator

if TYPE_CHECKING:
    import pandas as pd

    from mlflow_ext.evaluation.evaluator import EvaluatorOptions
    from mlflow_ext.evaluation.predictions import Array


class MlflowExtEvaluator(ModelEvaluator):
    """Evaluates binary classifiers, where it is asked for by its name.

    Without names MLflow asks every evaluator that is installed, once when it collects them and once
    more before it evaluates. To install this package must not change such an evaluation, nor break
    it by a configuration that is meant for another: hence the second question is a no.
    """

    def __init__(self) -> None:
        self._questions = 0

    def can_evaluate(  # type: ignore[override]
        self, *, model_type: str, evaluator_config: dict[str, Any] | None = None, **_: Any
    ) -> bool:
        """Return True for classifiers, if somebody has named this evaluator."""
        self._questions += 1
        return model_type == "classifier" and self._questions == 1

    def evaluate(
        self, *, dataset: Any, evaluator_config: dict[str, Any], model: Any = None, **given: Any
    ) -> Any:
        """Log everything in the active run and return it.

        Raises:
            EvaluatorConfigError: There is no such option, or one has a wrong value.
            TableError: A label is missing, no row or one class only is left, or the probabilities
                are none.
            UnusableModelError: The model gives no probabilities.
            UnknownNameError: A column is not in the data.
        """
        import pandas as pd

        from mlflow_ext.evaluation.evaluator import log_result, read_options
        from mlflow_ext.evaluation.predictions import Predictions
        from mlflow_ext.gates.candidate import Label, read_labels

        options = read_options(evaluator_config)
        rows = pd.DataFrame(dataset.features_data, columns=dataset.feature_names)
        label = Label(column=dataset.targets_name or "targets", positive=options.positive)
        truth = pd.DataFrame({label.column: dataset.labels_data})
        labels = read_labels(options.split, truth, label)
        stated = _stated(options, rows, dataset) if model is None or options.probability else None
        probability = _ask(model, rows, options, given) if stated is None else stated
        predictions = Predictions(options.split, labels, probability, options.decision_threshold)
        return log_result(options, predictions, rows, dataset, given.get("model_id"))


def _stated(options: EvaluatorOptions, rows: pd.DataFrame, dataset: Any) -> Array:
    """Return the probabilities that stand in the data."""
    import numpy as np

    from mlflow_ext.errors import TableError, UnknownNameError

    name = options.probability or dataset.predictions_name
    if options.probability and options.probability not in rows:
        raise UnknownNameError("column", options.probability, list(rows.columns), "the data")
    stated: Array | None = (
        rows[name].to_numpy() if options.probability else dataset.predictions_data
    )
    if stated is None or not np.issubdtype(stated.dtype, np.floating):
        found = "no model and no predictions" if stated is None else f"'{name}' is {stated.dtype}"
        fix = "name their column: evaluator_config={'mlflow_ext': {'probability': COLUMN}}"
        raise TableError(options.split, found, "probabilities of the positive class", fix)
    return stated


def _ask(model: Any, rows: pd.DataFrame, options: EvaluatorOptions, given: dict[str, Any]) -> Array:
    from mlflow_ext.gates.scoring import Question, ask

    wanted = given.get("predictions") or options.positive
    return ask(model, given.get("model_id") or "the model", Question(rows, wanted))
