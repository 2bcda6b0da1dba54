"""What holds for every command: found by its file, quick, documented, and honest about its end."""

import json
import subprocess
import sys

import click
import pytest

from mlflow_ext.cli import NO_VERDICT, command, run
from mlflow_ext.cli._output import emit, table
from mlflow_ext.cli._tree import TreeGroup
from mlflow_ext.errors import SearchError

HEAVY = ("mlflow", "pandas", "great_expectations", "optuna", "sklearn", "pydantic", "yaml", "numpy")


def walk(group, path=()):
    """Yield every command below *group* with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from walk(found, (*path, name))


COMMANDS = dict(walk(command))


def test_the_file_tree_is_the_command_tree():
    assert {
        ("data",),
        ("data", "fingerprint"),
        ("history",),
        ("promote",),
        ("rollback",),
        ("status",),
        ("evidence", "import"),
        ("policy", "set"),
    } <= COMMANDS.keys()


def test_a_new_command_is_one_new_file(tmp_path, monkeypatch):
    package = tmp_path / "tree"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_private.py").write_text("")
    (package / "import_.py").write_text("import click\n@click.command()\ndef command(): ...\n")
    (package / "say_hello.py").write_text(
        "import click\n@click.command()\ndef command(): click.echo('hello')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    __import__("tree")
    group = TreeGroup("tree")
    assert group.list_commands(click.Context(group)) == ["import", "say-hello"]
    assert group.get_command(click.Context(group), "say-hello").name == "command"
    assert group.get_command(click.Context(group), "import") is not None
    assert group.get_command(click.Context(group), "say-goodbye") is None


@pytest.mark.parametrize("path", COMMANDS, ids="-".join)
def test_every_command_and_option_has_help_and_a_variable(path, capsys):
    found = COMMANDS[path]
    assert found.help and found.get_short_help_str(60).endswith(".")
    assert run([*path, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for option in (p for p in found.params if isinstance(p, click.Option)):
        assert option.help and option.show_envvar, option.name
        variable = option.envvar or "_".join(["MLFLOW_EXT", *path, option.name]).upper()
        assert f"env var: {variable}" in shown.replace("- ", "-"), option.name


def test_help_imports_nothing_heavy():
    lines = [[], *([*path] for path in COMMANDS)]
    code = f"""
import sys
from mlflow_ext.cli import run
codes = [run([*line, "--help"]) for line in {lines!r}]
print(codes, sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == f"{[0] * len(lines)} []"


def test_the_installed_script_answers():
    code = "from mlflow_ext.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    assert "promote" in done.stdout


def answer(callback):
    """Run *callback* as a command of the root group."""
    context = click.Context(command)
    original = command.get_command
    try:
        command.get_command = lambda ctx, name: click.Command(name, callback=callback)
        return run(["answer"])
    finally:
        command.get_command = original
        context.close()


@pytest.mark.parametrize(("is_yes", "code"), [(True, 0), (False, 1)])
def test_an_answer_is_a_document_and_an_exit_code(is_yes, code, capsys):
    assert answer(lambda: emit({"found": 1}, is_yes=is_yes)) == code
    assert capsys.readouterr().out == "found  1\n"


def test_our_own_error_is_a_message_without_a_traceback(capsys):
    def fail():
        raise SearchError("an empty space", "at least one parameter", "edit project.yaml")

    assert answer(fail) == NO_VERDICT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: an empty space\n  expected: at least one parameter")
    assert "Traceback" not in captured.err


def test_an_unexpected_error_keeps_its_traceback_and_does_not_read_as_no(capsys):
    assert answer(lambda: 1 / 0) == NO_VERDICT
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stauts"], "No such command 'stauts'"),
        (["status"], "Missing argument 'MODEL'"),
        (["promote", "delay", "0", "--to", "Staging", "--reason", "x"], "0 is not in the range"),
        (["promote", "delay", "1", "--reason", "x"], "Missing option '--to'"),
        (["replay"], "say which: a MODEL, or --all"),
        (["replay", "delay", "--all"], "say which: a MODEL, or --all"),
        (["audit", "export", "--format", "json"], "'json' is not 'jsonl'"),
        (["promote", "delay", "1", "--to", "Staging"], "Missing option '--reason'"),
        (["status", "delay", "--format", "xml"], "'xml' is not one of"),
    ],
)
def test_a_wrong_word_is_a_usage_error_on_stderr(words, message, capsys):
    assert run(words) == NO_VERDICT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_a_table_aligns_values_and_rows():
    document = {
        "model": "delay",
        "created_ms": 1_700_000_000_000,
        "empty": [],
        "tags": {"owner": "ann", "team": None},
        "problems": ["first, of two", "second"],
        "versions": [{"version": 10, "gates": {"data": "passed"}}, {"version": 2, "note": "a\nb"}],
    }
    assert table(document).splitlines() == [
        "model       delay",
        "created_ms  2023-11-14 22:13:20Z",
        "empty       -",
        "",
        "tags",
        "  owner  ann",
        "  team   -",
        "",
        "problems",
        "  first, of two",
        "  second",
        "",
        "versions",
        "  version  gates        note",
        "  10       data=passed  -",
        "  2        -            a b",
    ]


def test_a_group_inside_a_group_is_shown_under_dotted_names():
    rule = {"gates": [{"gate": "data", "trust": "attested"}], "alias": "champion", "freeze": []}
    document = {"policy": {"name": "two persons", "stages": {"Production": rule}, "groups": {}}}
    assert table(document).splitlines() == [
        "policy",
        "  name                             two persons",
        "  stages.Production.gates.0.gate   data",
        "  stages.Production.gates.0.trust  attested",
        "  stages.Production.alias          champion",
        "  stages.Production.freeze         -",
        "  groups                           -",
    ]


def test_what_is_not_made_to_be_read_is_only_in_the_json(capsys):
    assert answer(lambda: emit({"id": 1, "envelope": "AAAA"}, only_json=["envelope"])) == 0
    assert capsys.readouterr().out == "id  1\n"


def test_json_is_written_as_it_is(capsys):
    def speak():
        context = click.get_current_context()
        context.meta["mlflow_ext.format"] = "json"
        emit({"reason": "später", "rows": [{"n": 1.5}]})

    assert answer(speak) == 0
    assert json.loads(capsys.readouterr().out) == {"reason": "später", "rows": [{"n": 1.5}]}
