"""House sizes, names and docstrings, for the package and the pipelines alike."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(f for folder in ("mlflow_ext", "pipelines") for f in (ROOT / folder).rglob("*.py"))
FORBIDDEN_NAMES = ("utils", "util", "common", "helpers", "helper", "manager", "core", "misc")

FUNCTION_CAP, FUNCTION_P95, FUNCTION_MEDIAN = 50, 30, 7
MODULE_CAP, MODULE_MEDIAN = 400, 130
PARAMETER_CAP = 5

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def body_lines(function):
    """Lines of the body, the docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def parameters(function):
    """Number of parameters without self and cls."""
    arguments = function.args
    names = [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def is_click_callback(function):
    """Click gives a command one parameter per option: their number is the user's, not ours."""
    calls = [d.func if isinstance(d, ast.Call) else d for d in function.decorator_list]
    return any(ast.unparse(call).split(".")[-1] in ("command", "group") for call in calls)


def undocumented(tree):
    """Names of the public module, classes, functions and methods that lack a docstring."""
    missing = [] if ast.get_docstring(tree) else ["the module itself"]
    for owner in [tree, *(n for n in tree.body if is_public_class(n))]:
        missing += [
            node.name
            for node in owner.body
            if isinstance(node, Function | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]
    return missing


def is_public_class(node):
    return isinstance(node, ast.ClassDef) and not node.name.startswith("_")


def parse(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def everywhere(check):
    """Run *check* over every function of the project; yield ``file:line name`` where it holds."""
    return [
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}"
        for file in FILES
        for function in functions(parse(file))
        if check(function)
    ]


def test_no_function_is_too_long():
    assert everywhere(lambda f: body_lines(f) > FUNCTION_CAP) == []


def test_functions_are_short_as_a_rule():
    sizes = [body_lines(f) for file in FILES for f in functions(parse(file))]
    assert statistics.median(sizes) <= FUNCTION_MEDIAN
    assert statistics.quantiles(sizes, n=20)[-1] <= FUNCTION_P95


def test_no_function_takes_too_many_parameters():
    too_many = everywhere(lambda f: parameters(f) > PARAMETER_CAP and not is_click_callback(f))
    assert too_many == [], "a record is due"


def test_modules_are_short():
    sizes = {f.relative_to(ROOT): len(f.read_text("utf-8").splitlines()) for f in FILES}
    assert {file: size for file, size in sizes.items() if size > MODULE_CAP} == {}
    assert statistics.median(sizes.values()) <= MODULE_MEDIAN


def test_every_public_thing_has_a_docstring():
    missing = {f.relative_to(ROOT): undocumented(parse(f)) for f in FILES}
    assert {file: names for file, names in missing.items() if names} == {}


def test_no_module_is_named_after_nothing():
    names = {f: f.parent.name if f.stem == "__init__" else f.stem for f in FILES}
    empty = [
        file.relative_to(ROOT)
        for file, name in names.items()
        if name.strip("_") in FORBIDDEN_NAMES or name.startswith("base_")
    ]
    assert empty == []


@pytest.mark.parametrize(
    ("measure", "source", "value"),
    [
        (body_lines, 'def f():\n    """Doc\n\n    more."""\n    a = 1\n    return a', 2),
        (body_lines, 'def f():\n    """Only doc."""', 0),
        (parameters, "def f(self, a, /, b, *, c): ...", 3),
        (parameters, "def f(a, *args, **kwargs): ...", 1),
        (is_click_callback, "@click.command()\n@option('--x')\ndef f(): ...", True),
        (is_click_callback, "@group.command\ndef f(): ...", True),
        (is_click_callback, "@lru_cache\ndef f(): ...", False),
    ],
)
def test_the_measures_measure(measure, source, value):
    (function,) = functions(ast.parse(source))
    assert measure(function) == value


def test_missing_docstrings_are_found():
    tree = ast.parse("class A:\n    def b(self): ...\n    def _c(self): ...\ndef d(): ...")
    assert undocumented(tree) == ["the module itself", "A", "d", "b"]
