"""MLproject, the steps and project.yaml say the same."""

from itertools import combinations
from pathlib import Path

import pytest
import yaml
from mlflow.projects.utils import load_project as load_mlproject
from servers import ROOT

from mlflow_ext.lineage.code import reachable_code
from mlflow_ext.project import load_project
from pipelines.__main__ import SENTENCES, commands
from pipelines.main import STEPS

ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def test_every_step_is_an_entry_point_a_module_and_a_command():
    names = {step.name for step in STEPS} | {"main"}
    assert names == set(ENTRY_POINTS) == set(SENTENCES)
    assert names <= {file.stem for file in Path(ROOT / "pipelines").glob("*.py")}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_the_command_that_mlflow_composes_is_understood(name):
    entry = load_mlproject(str(ROOT)).get_entry_point(name)
    words = entry.compute_command({}, storage_dir=None).split()
    assert words[:4] == ["python", "-m", "pipelines", name]
    assert {f"--{parameter.replace('_', '-')}" for parameter in entry.parameters} == {*words[4::2]}
    arguments = ["" if word == "''" else word for word in words[4:]]
    understood = commands.commands[name].make_context(name, arguments).params
    assert understood["through"] == "2013-06"
    assert understood["reuse"] is True
    assert understood["study"] == ""


def test_the_budget_of_the_search_is_that_of_the_project_file():
    search = load_project(ROOT / "project.yaml").search
    parameters = ENTRY_POINTS["main"]["parameters"]
    assert parameters["n_trials"]["default"] == search.n_trials
    assert parameters["timeout"]["default"] == search.timeout


def reached(step):
    return {name for name, _ in reachable_code(f"pipelines.{step}", ("mlflow_ext", "pipelines"))}


@pytest.mark.parametrize(("earlier", "later"), list(combinations([s.name for s in STEPS], 2)))
def test_no_step_reaches_the_code_of_a_later_one(earlier, later):
    """Else a change in a gate would tune and train again."""
    assert f"pipelines.{later}" not in reached(earlier)


def test_training_does_not_depend_on_judging():
    assert not [
        name for name in reached("train") if name.startswith("mlflow_ext.registry.advisory.promote")
    ]
    assert "mlflow_ext.gates.champion" not in reached("train")
    assert "mlflow_ext.gates.champion" in reached("gate")
