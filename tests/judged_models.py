"""Small registered models and the declared gates that judge them."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import infer_signature
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

ROWS = 300
KPI = {"metric": "roc_auc", "direction": "maximize", "threshold": 0.7, "why": "people rely on it"}
CHAMPION = {"metric": "roc_auc", "direction": "maximize", "margin": 0.01}


def flights(seed=0):
    """Rows whose label follows ``x``; whole numbers in ``hour``."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": random.normal(size=ROWS), "hour": random.integers(24, size=ROWS)})
    frame["late"] = (frame.x + random.normal(scale=0.5, size=ROWS) > 0).astype("int64")
    return frame


def fit(estimator=None):
    frame = flights(seed=1)
    return (estimator or LogisticRegression()).fit(frame[["x", "hour"]], frame.late)


def fit_blind():
    """A model that says the same of every row."""
    return fit(DummyClassifier(strategy="prior"))


def register(client, model, name="delay", **options):
    """Log a scikit-learn *model* and register it; returns the version."""
    options.setdefault("signature", infer_signature(flights()[["x", "hour"]].astype("float64")))
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
            **options,
        )
    return register_logged(client, info, name)


def register_logged(client, info, name="delay"):
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    version = client.create_model_version(
        name, source=info.model_uri, run_id=info.run_id, model_id=info.model_id
    )
    return int(version.version)


def declare(folder=Path(), model="delay", **changes):
    """Write a holdout and a gates.yaml that judges *model* with it; returns the file."""
    flights(seed=2).to_parquet(folder / "holdout.parquet")
    declared = {
        "data": "holdout.parquet",
        "target": {"column": "late", "positive": 1},
        "gates": {"metrics": {"kpis": [KPI]}, "champion": CHAMPION},
        **changes,
    }
    file = folder / "gates.yaml"
    file.write_text(yaml.safe_dump({"models": {model: declared}}))
    return file
