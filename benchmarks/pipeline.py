"""The way from the sources to Production: what it costs beside the usual ways to do the same.

Peers: a process for each step, as `mlflow.projects.run` does it; the same job again without reuse;
`mlflow.sklearn.log_model` with its defaults; `mlflow --help`. Real flights, January to March 2013.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import mlflow
import numpy as np
import pandas as pd
from figures import RUNS, Figure, median_seconds, report
from sklearn.linear_model import LogisticRegression

from mlflow_ext.registry.model import log_model

ROOT = Path(__file__).resolve().parent.parent
STEPS = [
    "ingest",
    "validate",
    "features",
    "tune",
    "train",
    "evaluate",
    "register",
    "gate",
    "promote",
]
OPTIONS = ("--through", "2013-03", "--n-trials", "1")


def measure(quick: bool) -> list[Figure]:
    """Take all figures; quick stops before the features, and runs once."""
    steps = STEPS[:2] if quick else STEPS
    runs = [job_times(steps) for _ in range(1 if quick else RUNS)]
    together, again, apart = (median(times) for times in zip(*runs, strict=True))
    return [
        seconds(f"{len(steps)} steps in one process", together, "a process each", apart, 0.7),
        seconds("the same job again", again, "without reuse", together, 0.7),
        help_time(),
        logging_time(),
    ]


def job_times(steps: Sequence[str]) -> tuple[float, float, float]:
    """Seconds of a first job, of the same job again, and of a job with a process for each step."""
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        for folder in (one, other):
            copy_project(Path(folder))
        together, again = run_step(one, steps[-1]), run_step(one, steps[-1])
        return together, again, sum(run_step(other, step) for step in steps)


def copy_project(folder: Path) -> None:
    """Put the project into *folder*, so that it has a store of its own."""
    shutil.copy(ROOT / "project.yaml", folder)
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    shutil.copytree(ROOT / "expectations", folder / "expectations")


def run_step(folder: str, step: str) -> float:
    """Run the job up to *step* in a process of its own; its seconds."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    command = [sys.executable, "-m", "pipelines", step, *OPTIONS]
    start = perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.decode())
    return perf_counter() - start


def help_time() -> Figure:
    """Compare how soon the command line answers."""
    ours, peer = median_seconds(lambda: ask_for_help("mlflow-ext"), lambda: ask_for_help("mlflow"))
    return seconds("mlflow-ext --help", ours, "mlflow --help", peer, 0.1)


def ask_for_help(command: str) -> None:
    """Run ``command --help``."""
    program = Path(sys.executable).parent / command
    subprocess.run([str(program), "--help"], capture_output=True, check=True)


def logging_time() -> Figure:
    """Compare logging a model, verification included, with MLflow's defaults."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(200, 5)), columns=list("abcde"))
    model = LogisticRegression().fit(rows, rows["a"] > 0)
    with TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("b", f"{folder}/artifacts"))
        with mlflow.start_run():
            ours, peer = median_seconds(
                lambda: log_model(model, rows.head()),
                lambda: mlflow.sklearn.log_model(model, name="model", input_example=rows.head()),
            )
    return seconds(
        "log a model and load it back", ours, "log_model, requirements inferred", peer, 0.5
    )


def seconds(name: str, value: float, peer: str, peer_value: float, at_most: float) -> Figure:
    """Return a figure in seconds."""
    return Figure(
        name=name, value=value, unit="s", peer=peer, peer_value=peer_value, at_most=at_most
    )


if __name__ == "__main__":
    sys.exit(report(__doc__, measure))
