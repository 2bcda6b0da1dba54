"""A pipeline as steps in one process: each step a nested run, reused when nothing changed.

A step is a function. Its parameters are named after settings of the flow (``through``, ``search``
…) or after earlier steps, whose output record it then receives; its annotated return type is a
frozen dataclass. That is all the engine needs to run it, to store its output with the run, and to
decide that a later call would do the same work again:

    key = digest(code it can reach, settings it takes, content of its inputs, library versions)

A step whose key already belongs to a finished run is not run again. An output with a non-empty
``refusals`` says *no*: its run is marked FAILED and the flow stops there, so the next call tries
that step again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from packaging.requirements import Requirement

from mlflow_ext.lineage.code import code_digest
from mlflow_ext.process import current_process, is_alive
from mlflow_ext.records import GateReport, TableVersion, from_json, to_json
from mlflow_ext.tracking.active import active_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

STEP_TAG = "mlflow_ext.step"
KEY_TAG = "mlflow_ext.step_key"
PROCESS_TAG = "mlflow_ext.process"
ENDED_TAG = "mlflow_ext.ended"
OUTPUT_FILE = "step/output.json"
FIRST_PARTY = "mlflow_ext"
Status = Literal["ran", "reused", "refused"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a flow."""

    function: Callable[..., Any]
    """What it does; its name is the step's name."""
    is_reusable: bool = True
    """False: it looks at the world (a registry, say) and runs every time."""
    still_holds: Callable[[Any], bool] = lambda _output: True
    """Whether a stored output is still true of the world, e.g. the version still exists."""

    @property
    def name(self) -> str:
        """The function's name: module, entry point and MLflow run all carry it."""
        return self.function.__name__

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the settings and earlier steps it reads."""
        return tuple(inspect.signature(self.function).parameters)


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file that a step reads: what counts is its content, not where it lies."""

    path: Path
    digest: str
    """SHA-256 of the bytes, 64 hex digits."""

    @classmethod
    def at(cls, path: Path) -> InputFile:
        """Describe the file at *path*, which must exist."""
        with path.open("rb") as file:
            return cls(path=path, digest=hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What became of one step."""

    name: str
    status: Status
    run_id: str
    seconds: float
    """Wall time, s."""
    output: Any
    """The step's own record."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Steps in order, and the settings they read."""

    steps: tuple[Step, ...]
    settings: Mapping[str, Any]
    reuse: bool = True
    """False: every step runs, whatever has succeeded before."""
    introduce: Callable[[], None] = lambda: None
    """Called at the beginning of every step's run, to write on it what the flow is about."""


def run_flow(
    flow: Flow, *, until: str, announce: Callable[[StepOutcome], None]
) -> tuple[StepOutcome, ...]:
    """Run the steps of *flow* up to and including *until*, inside the active MLflow run.

    Args:
        flow: The steps and their settings.
        until: Name of the last step wanted.
        announce: Called after each step.

    Returns:
        One outcome per step that was reached; the last one is ``refused`` if the flow stopped.
    """
    import mlflow

    client = mlflow.MlflowClient()
    end_dead_runs(client, active_run().info.experiment_id)
    outcomes: dict[str, StepOutcome] = {}
    for step in flow.steps:
        known = {**flow.settings, **{o.name: o.output for o in outcomes.values()}}
        inputs = {name: known[name] for name in step.takes}
        outcomes[step.name] = outcome = _perform(client, flow, step, inputs)
        announce(outcome)
        if step.name == until or outcome.status == "refused":
            break
    return tuple(outcomes.values())


def step_key(step: Step, inputs: Mapping[str, Any]) -> str:
    """Identify the work of one step: same key, same output.

    Returns:
        SHA-256, 64 hex digits.
    """
    module = step.function.__module__
    parts = {
        "step": step.name,
        "code": code_digest(module, (FIRST_PARTY, module.split(".")[0])),
        "libraries": _library_versions(),
        "inputs": {name: identity(value) for name, value in inputs.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identity(value: Any) -> Any:
    """Reduce *value* to what it is, leaving out where it lies and when it was made.

    A table is its content fingerprint; a file is its bytes; a gate report is its verdict on that
    content; any other record is its fields, but for those declared with ``compare=False``; anything
    else is its own text.
    """
    match value:
        case TableVersion():
            found: Any = value.fingerprint.digest
        case InputFile():
            found = value.digest
        case GateReport():
            found = [value.gate, value.verdict, value.config_digest, identity(value.fingerprints)]
        case Mapping():
            found = {str(key): identity(item) for key, item in value.items()}
        case list() | tuple():
            found = [identity(item) for item in value]
        case None | bool() | int() | float():
            found = value
        case _ if is_dataclass(value):
            counting = [field.name for field in fields(value) if field.compare]
            found = {name: identity(getattr(value, name)) for name in counting}
        case _:
            found = str(value)
    return found


def end_dead_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Mark runs KILLED whose process is gone, so that none stays RUNNING for ever.

    Args:
        client: Client of the tracking store.
        experiment_id: Where to look.

    Returns:
        Ids of the runs that were ended. Runs of other hosts are left alone.
    """
    running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'")
    owned = [run for run in running if PROCESS_TAG in run.data.tags]
    dead = [run for run in owned if is_alive(run.data.tags[PROCESS_TAG]) is False]
    for run in dead:
        client.set_tag(run.info.run_id, ENDED_TAG, "its process died before it ended the run")
        client.set_terminated(run.info.run_id, status="KILLED")
    return [run.info.run_id for run in dead]


def _perform(
    client: MlflowClient, flow: Flow, step: Step, inputs: Mapping[str, Any]
) -> StepOutcome:
    started = time.monotonic()
    key = step_key(step, inputs)
    finished = _find_finished(client, step, key) if flow.reuse and step.is_reusable else None
    run_id, output = finished or _run(flow, step, key, inputs)
    status: Status = "reused" if finished else "refused" if _refusals(output) else "ran"
    seconds = time.monotonic() - started
    return StepOutcome(name=step.name, status=status, run_id=run_id, seconds=seconds, output=output)


def _run(flow: Flow, step: Step, key: str, inputs: Mapping[str, Any]) -> tuple[str, Any]:
    import mlflow

    tags = {STEP_TAG: step.name, KEY_TAG: key, PROCESS_TAG: current_process()}
    with mlflow.start_run(run_name=step.name, nested=True, tags=tags) as run:
        flow.introduce()
        output = step.function(**inputs)
        mlflow.log_text(to_json(output), OUTPUT_FILE)
        if _refusals(output):
            mlflow.end_run("FAILED")
    return run.info.run_id, output


def _refusals(output: Any) -> Sequence[str]:
    refusals: Sequence[str] = getattr(output, "refusals", ())
    return refusals


def _find_finished(client: MlflowClient, step: Step, key: str) -> tuple[str, Any] | None:
    """Find a run that did this work and whose output is still there and still true."""
    found = client.search_runs(
        [active_run().info.experiment_id],
        f"tags.`{KEY_TAG}` = '{key}' and attributes.status = 'FINISHED'",
    )
    for run in found:
        output = _stored_output(step, run.info.run_id)
        if output and step.still_holds(output) and _tables_exist(client, output):
            return run.info.run_id, output
    return None


def _stored_output(step: Step, run_id: str) -> Any | None:
    """Read back what *run_id* returned; None when its files are gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        text = mlflow.artifacts.load_text(f"runs:/{run_id}/{OUTPUT_FILE}")
    except (MlflowException, OSError):
        return None
    return from_json(get_type_hints(step.function)["return"], text)


def _tables_exist(client: MlflowClient, output: Any) -> bool:
    tables = [getattr(output, field.name) for field in fields(output)]
    return all(
        any(file.path == table.path for file in client.list_artifacts(table.run_id, "data"))
        for table in tables
        if isinstance(table, TableVersion)
    )


def _library_versions() -> dict[str, str]:
    """Versions of the libraries the suite declares: another scikit-learn is another model."""
    declared = [Requirement(text) for text in metadata.requires("mlflow-ext") or ()]
    return {need.name: metadata.version(need.name) for need in declared if not need.marker}
