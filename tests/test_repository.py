"""The repository as a whole: what its files promise each other, and what must not be in them."""

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
RUN = "python -m pip install -c constraints.txt -e '.[flights]' && mlflow run . --env-manager local"
TEST = "python -m pip install -c constraints.txt -e '.[test]' && pytest"

# Written in pieces, so that this file does not find itself.
TRACES = {
    "a package registry": r"pypi" r"\.org|python" r"hosted\.org|anaconda" r"\.org|index" r"-url",
    "a path of one machine": r"(?<![\w.:])/(?:work|farm|ro" r"ot|ho" r"me/\w+|Us" r"ers/\w+)/",
    "a scratch folder": r"/tm" r"p/\w",
    "an issue": r"\b[Ii]ssu" r"e #?\d",
}


def texts():
    """{path: text} of the files that are, or are about to be, under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in filter(None, listing.split("\0"))]
    return {f.relative_to(ROOT): readable(f) for f in files if f.is_file()}


def readable(file):
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # a picture


@pytest.mark.parametrize(("what", "pattern"), TRACES.items(), ids=TRACES)
def test_no_file_names(what, pattern):
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == [], f"{what} is named"


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a package registry", "--extra-index" + "-url https://x"),
        ("a path of one machine", "open('/ho" + "me/ada/x')"),
        ("a path of one machine", "file: /wor" + "k/main/x"),
        ("a scratch folder", "see /tm" + "p/lab"),
        ("an issue", "see issu" + "e #12"),
    ],
)
def test_the_traces_would_be_found(what, line):
    assert re.search(TRACES[what], line)


def test_the_readme_shows_the_two_commands_and_ci_runs_the_second_word_for_word():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert {RUN, TEST} <= {line.strip() for line in readme}
    ci = ROOT / ".ci" / "run"
    assert TEST in [line.strip() for line in ci.read_text(encoding="utf-8").splitlines()]
    assert os.access(ci, os.X_OK)


# --- tests ---------------------------------------------------------------------------------------

FORBIDDEN_IN_TESTS = {"skip", "skipif", "importorskip", "xfail", "mock", "mocker", "MagicMock"}


def forbidden(source):
    """Names in *source* that let a test pass without testing."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {part for alias in node.names for part in alias.name.split(".")}
            names |= set((getattr(node, "module", "") or "").split("."))
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("pytest."):
            names |= {node.attr}
        elif isinstance(node, ast.arg):
            names |= {node.arg}
        elif isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant):
            names |= {"assert a constant"} if node.test.value else set()
    return sorted(names & (FORBIDDEN_IN_TESTS | {"assert a constant"}))


def test_no_test_is_skipped_mocked_or_empty():
    files = (ROOT / "tests").rglob("*.py")
    found = {f.relative_to(ROOT): forbidden(f.read_text(encoding="utf-8")) for f in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from unittest import mock",
        "import unittest.mock as m",
        "from unittest.mock import patch",
        "import pytest\n@pytest.mark.skipif(1)\ndef test(): ...",
        "import pytest\npytest.importorskip('x')",
        "def test(mocker): ...",
        "assert True",
    ],
)
def test_a_way_out_would_be_found(source):
    assert forbidden(source)


def test_test_files_have_distinct_names():
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


# --- errors --------------------------------------------------------------------------------------


def test_every_error_class_is_raised_caught_or_subclassed_somewhere():
    errors = ast.parse((ROOT / "mlflow_ext" / "errors.py").read_text(encoding="utf-8"))
    classes = {node.name for node in errors.body if isinstance(node, ast.ClassDef)}
    used = {ast.unparse(b) for n in errors.body if isinstance(n, ast.ClassDef) for b in n.bases}
    for file in [*(ROOT / "mlflow_ext").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        if file.name != "errors.py":
            tree = ast.parse(file.read_text(encoding="utf-8"))
            used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert sorted(classes - used) == []


def test_every_folder_of_code_is_a_package():
    """Without ``__init__.py`` a folder is left out of the wheel: only an editable install works."""
    folders = {file.parent for file in (ROOT / "mlflow_ext").rglob("*.py")}
    assert [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").exists()] == []


# --- dependencies --------------------------------------------------------------------------------


def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements():
    """Every requirement of the project and its extras, but not the project itself."""
    project = pyproject()
    extras = project["optional-dependencies"].values()
    every = [Requirement(r) for group in [project["dependencies"], *extras] for r in group]
    return [r for r in every if r.name != project["name"]]


def pins():
    """{name: version} of constraints.txt, whose lines are all of this form."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    assert None not in pairs, [line for line, pair in zip(lines, pairs, strict=True) if not pair]
    names = [canonicalize_name(pair[1]) for pair in pairs]
    assert sorted(set(names)) == sorted(names)
    return dict(zip(names, (pair[2] for pair in pairs), strict=True))


def test_constraints_pin_every_dependency_within_its_bounds():
    pinned = pins()
    outside = [
        str(r)
        for r in requirements()
        if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0"), prereleases=True)
    ]
    assert outside == []


def test_every_dependency_says_in_a_comment_which_part_needs_it():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for requirement in map(str, requirements()):
        without_marker = requirement.partition(";")[0]
        (line,) = [one for one in lines if one.strip().startswith(f'"{without_marker}')]
        comment = line.partition("#")[2].strip()
        assert comment, requirement
        for path in re.findall(r"[\w/]+(?:\.py|/)(?=[,: ])", comment + " "):
            places = [ROOT / path, ROOT / "mlflow_ext" / path]
            assert any(place.exists() for place in places), f"{requirement}: no {path}"


# --- the MLflow project ---------------------------------------------------------------------------


def mlproject():
    return yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))


def test_conda_yaml_takes_everything_but_python_from_constraints():
    environment = yaml.safe_load((ROOT / mlproject()["conda_env"]).read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert pip == "pip"
    assert packages == {"pip": ["-c constraints.txt", ".[flights]"]}
    name, version = python.split("=")
    assert name == "python"
    assert len(Version(version).release) == 3, "virtualenv would build the newest that pyenv knows"
    assert Requirement(f"python{pyproject()['requires-python']}").specifier.contains(version)
