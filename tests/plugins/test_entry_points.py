"""pyproject.toml, the modules in plugins/ and the installed metadata say the same."""

import tomllib
from importlib import metadata
from pathlib import Path

from mlflow_ext.registry.gated.recomputation import JOB_FUNCTIONS, JOB_VARIABLES

ROOT = Path(__file__).resolve().parents[2]


def declared():
    """{(group, name, value)} of the MLflow entry points in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        (group, name, value)
        for group, entries in project["entry-points"].items()
        for name, value in entries.items()
        if group.startswith("mlflow.")
    }


def modules():
    files = (ROOT / "mlflow_ext" / "plugins").glob("*.py")
    return {f"mlflow_ext.plugins.{f.stem}" for f in files if f.stem != "__init__"}


def test_every_plugin_module_has_an_entry_point_and_every_entry_point_a_module():
    jobs = {JOB_VARIABLES[JOB_FUNCTIONS].rpartition(".")[0]}  # no entry point makes a job known
    assert {value.split(":")[0] for _, _, value in declared()} | jobs == modules()
    assert modules(), "there is no plugin at all"


def test_every_entry_point_loads():
    import mlflow  # noqa: F401  as in real life: MLflow loads the plugins, not the other way round

    for group, name, value in declared():
        loaded = metadata.EntryPoint(name, value, group).load()
        assert loaded.__name__ == value.split(":")[1]


def test_the_installed_metadata_agrees_with_pyproject():
    installed = {
        (entry.group, entry.name, entry.value)
        for entry in metadata.distribution("mlflow-ext").entry_points
        if entry.group.startswith("mlflow.")
    }
    assert installed == declared(), "run: python -m pip install -c constraints.txt -e ."
