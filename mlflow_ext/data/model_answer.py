"""What a model answers to its own input example, in plain values that can be kept and compared.

This file is also a program, ``python model_answer.py FOLDER ANSWER_FILE``, for environments that
hold a model's packages and not this one: it imports MLflow and nothing of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

EXPECTED = "expected_answer"
"""Key in the metadata of an ``MLmodel`` under which the answer at training is kept."""
Answer = dict[str, Any]
"""Method -> what it returned, as nested lists."""


def ask(model: Any, estimator: Any, rows: Any) -> Answer:
    """Ask a model, and for probabilities where there are some: labels hide small differences.

    Args:
        model: Anything with ``predict``.
        estimator: What is inside it, or the model itself.
        rows: One row per case.
    """
    answer = {"predict": _plain(model.predict(rows))}
    if hasattr(estimator, "predict_proba"):
        answer["predict_proba"] = _plain(estimator.predict_proba(rows))
    return answer


def answer_example(model: PyFuncModel, files: str) -> Answer | None:
    """Ask a loaded model about the input example that was logged with it; None without one."""
    example = model.metadata.load_input_example(files)
    return None if example is None else ask(model, _raw(model), example)


def main(files: str, target: str) -> None:
    """Load the model in *files*, ask it, and write what came of it to the file *target*."""
    try:
        import mlflow

        outcome: dict[str, Any] = {"answer": answer_example(mlflow.pyfunc.load_model(files), files)}
    except BaseException as error:  # a model may raise anything, an exit among them
        outcome = {"problem": f"{type(error).__name__}: {error}"}
    Path(target).write_text(json.dumps(outcome), encoding="utf-8")


def _raw(model: PyFuncModel) -> Any:
    try:
        return model.get_raw_model()  # type: ignore[no-untyped-call]
    except Exception:  # not every flavor has one, and each says so in its own way
        return None


def _plain(answer: Any) -> Any:
    import numpy as np

    return json.loads(json.dumps(np.asarray(answer).tolist(), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
