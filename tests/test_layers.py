"""Imports are law: the layers and the owners of third parties, as two tables and one check."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "mlflow_ext"
TOP = "pipelines"

# Lowest first. A room imports only from lower layers, never from a room on its own layer.
LAYERS = (
    {"errors", "records", "process", "interruption"},
    {"settings", "tracking"},
    {"project", "data", "evaluation"},
    {"gates", "tuning", "registry", "serving", "monitoring"},
    {"lineage"},
    {"plugins", "cli", "testing"},
    {TOP},
)
LAYER_OF = {room: number for number, layer in enumerate(LAYERS) for room in layer}

# A third party -> the only rooms that may import it.
OWNERS = {
    "click": {"cli", TOP},
    "optuna": {"tuning"},
    "great_expectations": {"gates"},
    "fairlearn": {"gates"},
    "polars": {"gates"},
}
# A third party -> the only name that a module which imports it may have.
NAMED_FOR = {"pyspark": "spark", "py4j": "spark"}
# Modules (and all below them) that must stay usable without MLflow.
WITHOUT_MLFLOW = (*LAYERS[0], "settings", "project", "evaluation.metrics")


def violations(root):
    """Say every import under *root* that breaks the tables, one line each."""
    files = sorted([*(root / PACKAGE).rglob("*.py"), *(root / TOP).rglob("*.py")])
    return [
        f"{file.relative_to(root)}:{line} imports {target}: {why}"
        for file in files
        for line, target in imports(file, root)
        if (why := objection(module_name(file, root), target))
    ]


def module_name(file, root):
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file, root):
    """Yield (line, dotted target) of every import, those inside functions included."""
    package = file.parent.relative_to(root).parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def circle(root):
    """Return the modules of one circle of imports under *root*; none when there is none.

    A package's face may tie its modules together, and they may know what it defines.
    """
    files = [*(root / PACKAGE).rglob("*.py"), *(root / TOP).rglob("*.py")]
    modules = {module_name(file, root): file for file in files if file.name != "__init__.py"}
    taken = {
        module: {target for _, name in imports(file, root) for target in prefixes(name)}
        for module, file in modules.items()
    }
    graph = {module: targets & modules.keys() for module, targets in taken.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def prefixes(name):
    """Yield the modules that a dotted name may stand for.

    >>> list(prefixes("a.b.c"))
    ['a', 'a.b', 'a.b.c']
    """
    parts = name.split(".")
    yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def objection(module, target):
    """Say why *module* may not import *target*; an empty string when it may."""
    mine, theirs = room(module), room(target)
    if why := objection_to_library(module, target.split(".")[0]):
        return why
    if theirs is None or theirs in (mine, PACKAGE):
        return ""
    if mine not in LAYER_OF or theirs not in LAYER_OF:
        return f"no layer is written down for {mine if mine not in LAYER_OF else theirs}"
    if LAYER_OF[theirs] == LAYER_OF[mine]:
        return f"{mine} and {theirs} are siblings"
    return f"{mine} lies below {theirs}" if LAYER_OF[theirs] > LAYER_OF[mine] else ""


def objection_to_library(module, library):
    """Say why *module* may not import a third party; an empty string when it may."""
    if library in OWNERS and room(module) not in OWNERS[library]:
        return f"only {sorted(OWNERS[library])} may"
    if library in NAMED_FOR and module.split(".")[-1] != NAMED_FOR[library]:
        return f"only modules named '{NAMED_FOR[library]}' may"
    if library == "mlflow" and is_without_mlflow(module):
        return "this module must work without MLflow"
    return ""


def room(module):
    """The first-level unit: ``gates`` for ``mlflow_ext.gates.data``; None for a third party."""
    parts = module.split(".")
    if parts[0] == PACKAGE:
        # `from mlflow_ext import __version__` takes a name of the package itself.
        return parts[1] if len(parts) > 1 and not parts[1].startswith("__") else PACKAGE
    return TOP if parts[0] == TOP else None


def is_without_mlflow(module):
    return any(f"{module}.".startswith(f"{PACKAGE}.{name}.") for name in WITHOUT_MLFLOW)


def test_every_import_obeys_the_tables():
    assert violations(ROOT) == []


def test_no_module_needs_itself():
    assert circle(ROOT) == []


def test_the_check_finds_a_circle_through_functions_and_types(tmp_path):
    room = tmp_path / PACKAGE / "gates"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("from mlflow_ext.gates.a import x")
    (room / "a.py").write_text("from mlflow_ext.gates import b")
    (room / "b.py").write_text("def f():\n    from .c import x")
    (room / "c.py").write_text("from mlflow_ext.gates import FACE")
    assert circle(tmp_path) == []
    (room / "c.py").write_text("if TYPE_CHECKING:\n    from mlflow_ext.gates.a import x")
    assert {name.rpartition(".")[2] for name in circle(tmp_path)} == {"a", "b", "c"}


def test_every_room_has_a_layer():
    rooms = {room(module_name(file, ROOT)) for file in (ROOT / PACKAGE).rglob("*.py")}
    assert rooms - {PACKAGE} <= set(LAYER_OF)
    assert {"gates", "tuning", "registry", "cli"} <= rooms, "the check looked at the wrong tree"


BROKEN = [
    ("mlflow_ext/records.py", "import mlflow", "must work without MLflow"),
    ("mlflow_ext/records.py", "from mlflow_ext.errors import E", "records and errors are siblings"),
    ("mlflow_ext/data/a.py", "from mlflow_ext.project import P", "data and project are siblings"),
    ("mlflow_ext/data/a.py", "import mlflow_ext.gates", "data lies below gates"),
    ("mlflow_ext/gates/a.py", "from ..registry import policy", "gates and registry are siblings"),
    ("mlflow_ext/gates/a.py", "from mlflow_ext import registry", "gates and registry are siblings"),
    ("mlflow_ext/gates/a.py", "def f():\n    import optuna", "only ['tuning'] may"),
    ("mlflow_ext/gates/sub/a.py", "import click", "only ['cli', 'pipelines'] may"),
    ("mlflow_ext/tuning/a.py", "from great_expectations.core import X", "only ['gates'] may"),
    ("mlflow_ext/cli/a.py", "from pipelines.main import main", "cli lies below pipelines"),
    ("mlflow_ext/cli/a.py", "from mlflow_ext.plugins.x import X", "cli and plugins are siblings"),
    ("mlflow_ext/evaluation/metrics.py", "import mlflow.metrics", "must work without MLflow"),
    ("mlflow_ext/attic/a.py", "import mlflow_ext.errors", "no layer is written down for attic"),
    ("pipelines/main.py", "import optuna", "only ['tuning'] may"),
    ("mlflow_ext/gates/a.py", "from pyspark.sql import X", "only modules named 'spark' may"),
]


@pytest.mark.parametrize(("file", "source", "why"), BROKEN, ids=[b[2] + b[0] for b in BROKEN])
def test_the_check_finds_a_broken_import(file, source, why, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    (found,) = violations(tmp_path)
    assert found.startswith(file)
    assert found.endswith(why)


ALLOWED = [
    ("mlflow_ext/gates/a.py", "from mlflow_ext.records import Check\nimport great_expectations"),
    ("mlflow_ext/gates/spark.py", "from pyspark.sql import SparkSession\nimport py4j.protocol"),
    ("mlflow_ext/gates/a.py", "from . import b\nfrom .b import c\nimport mlflow_ext.gates.d"),
    ("mlflow_ext/gates/__init__.py", "from .a import b"),
    ("mlflow_ext/lineage/a.py", "from mlflow_ext import __version__\nimport mlflow_ext.gates.data"),
    ("mlflow_ext/evaluation/figures.py", "import mlflow"),
    ("pipelines/main.py", "import click\nimport mlflow_ext.cli\nfrom pipelines.main import x"),
]


@pytest.mark.parametrize(("file", "source"), ALLOWED)
def test_the_check_lets_a_lawful_import_pass(file, source, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert violations(tmp_path) == []
