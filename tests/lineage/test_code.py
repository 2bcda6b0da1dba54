"""The digest of code: what counts as another code, and what does not."""

import sys

import pytest

from mlflow_ext.lineage.code import code_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `sample` with a step that reaches `inner` through a lazy import."""
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "step.py").write_text("import os\n\ndef run():\n    from sample import inner\n")
    (folder / "inner.py").write_text("VALUE = 1\n")
    (folder / "other.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "sample"]:
        del sys.modules[name]


def digest():
    return code_digest("sample.step", ("sample",))


def test_same_code_same_digest(package):
    assert digest() == digest()


def test_comment_and_layout_do_not_count(package):
    before = digest()
    (package / "step.py").write_text(
        "# why\nimport os\n\n\ndef run():\n\n    from sample import inner\n"
    )
    assert digest() == before


@pytest.mark.parametrize("module", ["step.py", "inner.py", "__init__.py"])
def test_change_anywhere_it_can_reach_counts(package, module):
    before = digest()
    (package / module).write_text((package / module).read_text() + "\nCHANGED = True\n")
    assert digest() != before


def test_module_it_cannot_reach_does_not_count(package):
    before = digest()
    (package / "other.py").write_text("VALUE = 2\n")
    assert digest() == before


def test_third_party_imports_are_not_followed(package):
    (package / "step.py").write_text("import json\n")
    assert code_digest("sample.step", ("sample",)) == code_digest("sample.step", ("sample", "x"))
