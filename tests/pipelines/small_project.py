"""The project on a small sample of the real flights, in a folder of its own."""

import functools
import json
import re
from pathlib import Path

import yaml

from mlflow_ext.data.sources import read_source
from mlflow_ext.project import load_project
from pipelines.flights import month_of, parse_hours

ROOT = Path(__file__).resolve().parent.parent.parent
MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
FLIGHTS_PER_MONTH = 700
FEW_GATES = {"data", "metrics", "champion"}


@functools.cache
def sample():
    """A few flights of each month, and everything that is known about them."""
    project = load_project(ROOT / "project.yaml")
    frames = {
        name: read_source(name, source.location, source.columns, ROOT)
        for name, source in project.sources.items()
    }
    flights = frames["flights"]
    month = month_of(parse_hours(flights)["time_hour"])
    kept = [
        flights[month == one].sample(FLIGHTS_PER_MONTH, random_state=0).sort_index()
        for one in MONTHS
    ]
    import pandas as pd

    return {**frames, "flights": pd.concat(kept, ignore_index=True)}


def _for_few_rows(suite):
    """The shipped suite without its rules about how many rows and how much variety there are."""
    document = json.loads(suite.read_text())
    about_size = ("row_count", "unique_value_count", "quantile")
    document["expectations"] = [
        rule
        for rule in document["expectations"]
        if not any(word in rule["type"] for word in about_size)
    ]
    return json.dumps(document)


def leave_few_gates(declared):
    """Leave the gates for which a few hundred rows suffice: the others would be inconclusive."""
    for gate in declared.keys() - FEW_GATES:
        del declared[gate]


def make_project(folder, changes=(), frames=None):
    """Write the small project into *folder*: sources as CSV, two trials, real suites."""
    (folder / "expectations").mkdir()
    for suite in (ROOT / "expectations").glob("*.json"):
        (folder / "expectations" / suite.name).write_text(_for_few_rows(suite))
    values = yaml.safe_load((ROOT / "project.yaml").read_text())
    for name, frame in {**sample(), **(frames or {})}.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        values["sources"][name]["location"] = f"{name}.csv"
    leave_few_gates(values["gates"]["model"])
    for stage in values["promotion"]["stages"].values():
        stage["requires"] = [gate for gate in stage["requires"] if gate in FEW_GATES]
    values["search"] |= {"n_trials": 2, "fractions": [1.0], "timeout": None}
    values["search"]["space"] = {"max_iter": {"type": "int", "low": 5, "high": 10}}
    for path, value in dict(changes).items():
        *parents, last = path.split(".")
        functools.reduce(lambda node, key: node[key], parents, values)[last] = value
    (folder / "project.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return folder


def be_lenient(file):
    """Set KPIs that a model of a few hundred flights reaches, in project.yaml or gates.yaml."""
    text = file.read_text()
    for strict, lenient in (("0.67", "0.35"), ("0.21", "0.9"), ("0.3", "0.1")):
        text, count = re.subn(rf"\bthreshold: {strict}0?\n", f"threshold: {lenient}\n", text)
        assert count == 1, strict
    file.write_text(text)
