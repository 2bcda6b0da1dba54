"""A small real candidate: models that scikit-learn has fitted, saved as MLflow saves them."""

from __future__ import annotations

import atexit
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlflow_ext.data.fingerprint import fingerprint_table
from mlflow_ext.gates.candidate import Candidate, Label, Opponent
from mlflow_ext.gates.scoring import Question, ask, load
from mlflow_ext.gates.subject import GateSubject

if TYPE_CHECKING:
    import pandas as pd

INPUTS = ["distance", "hour"]
LABEL = Label(column="late")
ROWS = 600


def make_flights(seed: int, rows: int = ROWS) -> pd.DataFrame:
    """Return *rows* flights whose label follows ``distance``; ``carrier`` says nothing about it."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(seed)
    distance = random.normal(size=rows)
    return pd.DataFrame(
        {
            "distance": distance,
            "hour": random.integers(24, size=rows).astype(float),
            "carrier": random.choice(["AA", "UA"], size=rows),
            "late": (distance + random.normal(scale=0.8, size=rows) > 0).astype("int64"),
        }
    )


def make_candidate(model: str = "challenger") -> Candidate:
    """Return a candidate that is better than its champion, with holdout and training.

    Args:
        model: ``challenger``, ``champion``, or ``undecided``, whose probabilities are all NaN.
    """
    training = make_flights(seed=1)
    files = save_model(model)
    return with_holdout(
        Candidate(
            subject=GateSubject(model="delay", version=2, fingerprints={}, rows=0, created_ms=1),
            files=files,
            folder=files.parent,
            holdout=training,
            label=LABEL,
            read_training=lambda: training,
            find_opponent=_find_champion,
        ),
        make_flights(seed=2),
    )


def with_holdout(candidate: Candidate, holdout: pd.DataFrame) -> Candidate:
    """Return the same version before other rows; what was read for the first ones is forgotten."""
    import pyarrow as pa

    digest = fingerprint_table(pa.Table.from_pandas(holdout, preserve_index=False)).digest
    fingerprints = {candidate.subject.name: digest}
    subject = replace(candidate.subject, fingerprints=fingerprints, rows=len(holdout))
    return replace(candidate, subject=subject, holdout=holdout, attachments={})


@cache
def save_model(model: str) -> Path:
    """Save one of the models in a folder that goes with the process; return the folder."""
    import mlflow
    from mlflow.models import infer_signature

    training = make_flights(seed=1)
    files = Path(_folder()) / model
    mlflow.sklearn.save_model(
        _fit(model, training),
        files,
        signature=infer_signature(training[INPUTS]),
        input_example=training[INPUTS].head(3),
        pip_requirements=["scikit-learn"],
        serialization_format="skops",
    )
    return files


def _fit(model: str, training: pd.DataFrame) -> Any:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    if model == "champion":
        return DummyClassifier(strategy="prior").fit(training[INPUTS], training.late)
    fitted = LogisticRegression().fit(training[INPUTS], training.late)
    if model == "undecided":
        fitted.coef_ *= float("nan")
    return fitted


def _find_champion(candidate: Candidate) -> Opponent:
    uri = f"models:/{candidate.subject.model}/1"
    asked = Question(candidate.holdout[INPUTS], LABEL.positive)
    return Opponent(name=uri, probability=ask(load(save_model("champion"), uri), uri, asked))


@cache
def _folder() -> str:
    folder = TemporaryDirectory(prefix="gate-case-")
    atexit.register(folder.cleanup)
    return folder.name
