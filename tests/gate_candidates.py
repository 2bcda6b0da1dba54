"""Saved models before the gates: real files, rows that judge, rows that were learned."""

from textwrap import dedent

import mlflow
import pandas as pd
from judged_models import fit, flights
from mlflow.models import infer_signature

from mlflow_ext.gates.candidate import Candidate, Label
from mlflow_ext.gates.subject import GateSubject

INPUTS = ["x", "hour"]
SIGNATURE = infer_signature(flights()[INPUTS].astype("float64"))
EXAMPLE = flights()[INPUTS].astype("float64").head(3)


def save(folder, model=None, **options):
    """Save a scikit-learn model; returns its files."""
    options = {"signature": SIGNATURE, "serialization_format": "cloudpickle"} | options
    options.setdefault("pip_requirements", ["scikit-learn"])
    files = folder / "model"
    mlflow.sklearn.save_model(model or fit(), path=files, **options)
    return files


def save_code(folder, body, **options):
    """Save a model whose ``predict(rows)`` is *body*: Python code, so that any process loads it."""
    code = folder / "answering.py"
    code.write_text(
        "import os, sys, time\nimport mlflow\n\n"
        "class Answering(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        f"{_indented(body)}\n\n"
        "mlflow.models.set_model(Answering())\n"
    )
    options = {"signature": SIGNATURE, "pip_requirements": ["mlflow"]} | options
    files = folder / "model"
    mlflow.pyfunc.save_model(path=files, python_model=str(code), **options)
    return files


def candidate(files, holdout=None, training=None):
    """Version 7 of a model, judged on *holdout*."""
    holdout = flights(seed=2) if holdout is None else holdout
    subject = GateSubject(
        model="delay", version=7, fingerprints={"holdout": "f00d"}, rows=len(holdout), created_ms=5
    )
    return Candidate(
        subject=subject,
        files=files,
        holdout=holdout,
        label=Label(column="late"),
        read_training=lambda: training,
    )


def judge(gate, candidate):
    """Check -> what it says."""
    return {check.name: check for check in gate.judge(candidate)}


def verdicts(gate, candidate):
    """Check -> its verdict, as text."""
    return {name: str(check.verdict) for name, check in judge(gate, candidate).items()}


def repeat(values, rows=600):
    """A frame of so many rows, from columns that are shorter."""
    return pd.DataFrame({k: (v * (rows // len(v) + 1))[:rows] for k, v in values.items()})


def _indented(body):
    return "\n".join(f"        {line}" for line in dedent(body).strip().splitlines())
