"""MLproject, the steps and project.yaml say the same."""

from pathlib import Path

import pytest
import yaml
from servers import ROOT

from mlflow_ext.project import load_project
from pipelines.flow import STEPS
from pipelines.options import SENTENCES, step_command

ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def test_every_step_is_an_entry_point_a_module_and_a_command():
    names = {step.name for step in STEPS} | {"main"}
    assert names == set(ENTRY_POINTS) == set(SENTENCES)
    assert names <= {file.stem for file in Path(ROOT / "pipelines").glob("*.py")}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_parameter_is_an_option_of_the_command(name):
    entry = ENTRY_POINTS[name]
    options = {option.name: option.opts[0] for option in step_command(name).params}
    assert f"python -m pipelines.{name} " in entry["command"]
    for parameter in entry["parameters"]:
        assert f"{options[parameter]} {{{parameter}}}" in entry["command"]


def test_the_budget_of_the_search_is_that_of_the_project_file():
    search = load_project(ROOT / "project.yaml").search
    parameters = ENTRY_POINTS["main"]["parameters"]
    assert parameters["n_trials"]["default"] == search.n_trials
    assert parameters["timeout"]["default"] == search.timeout
