"""A gate that a really installed distribution of somebody else brings."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from judged_models import declare, fit, flights, register

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.gates.catalog import find_gate, known_gates

SOURCE = Path(__file__).parent.parent / "example_plugin"
COVERAGE = {"column": "carrier", "values": ["AA", "UA"]}
PIP = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The distribution, installed in a folder of its own; runs Python where it is found."""
    folder = tmp_path_factory.mktemp("plugin")
    source, site = folder / "source", folder / "site"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    subprocess.run([sys.executable, *PIP, "--target", site, source], check=True)

    def run(*words, cwd=source):
        environment = os.environ | {"PYTHONPATH": str(site)}
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def judge(tracking, tmp_path, plugin):
    """Judge version 1 by the gates of a file, where the distribution is installed."""

    def judge(**options):
        register(tracking, fit())
        file = declare(gates={"coverage": {**COVERAGE, **options}})
        carriers = np.resize(["AA", "UA", "UA"], 300)
        flights(seed=2).assign(carrier=carriers).to_parquet("holdout.parquet")
        words = ("gate", "run", "delay", "1", "--config", str(file), "--format", "json")
        code = "from mlflow_ext.cli import main; main()"
        return plugin("-c", code, *words, cwd=tmp_path)

    return judge


def test_it_is_found_by_its_name_in_the_file_of_gates(judge):
    done = judge()
    document = json.loads(done.stdout)
    assert (done.returncode, document["is_passed"]) == (0, True)
    assert [check["slice"] for check in document["checks"]] == ["carrier=AA", "carrier=UA"]


def test_it_is_inconclusive_where_rows_are_missing(judge):
    done = judge(minimum_rows=150)
    first, second = json.loads(done.stdout)["checks"]
    assert (done.returncode, first["verdict"], first["rows_needed"]) == (1, "inconclusive", 50)
    assert second["verdict"] == "passed"


def test_an_option_that_it_has_not_is_refused_in_its_name(judge):
    done = judge(minimum_row=1)
    assert (done.returncode, done.stdout) == (2, "")
    assert "gate 'coverage': unknown key 'minimum_row'" in done.stderr
    assert "rename it to 'minimum_rows'" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_own_tests_pass(plugin):
    done = plugin("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests")
    assert done.returncode == 0, done.stdout
    assert "9 passed" in done.stdout


def test_without_the_distribution_there_is_no_such_gate():
    assert "coverage" not in known_gates()
    with pytest.raises(UnknownNameError, match="unknown gate 'coverage'"):
        find_gate("coverage")
