"""Reports of gates, signed and handed in: evidence about exactly the files that were judged."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from registry_shop import make_report

from mlflow_ext.errors import (
    FilesChangedError,
    ModelNotFoundError,
    RegistryStateError,
    StatementError,
)
from mlflow_ext.records import Kind, Trust, Verdict
from mlflow_ext.registry.digest import digest_files
from mlflow_ext.registry.environment import environment_digest
from mlflow_ext.registry.remote import find_registry
from mlflow_ext.registry.signing import load_key
from mlflow_ext.registry.submit import judge_copy, submit_reports


@pytest.fixture
def gated(gated):
    """The registry with one version, whose files lie in the folder ``files/0``."""
    gated.add_versions(1)
    return gated


@pytest.fixture
def registry(gated):
    return find_registry(registry_uri=f"gated+{gated.uri}")


def judge(shop, version=1, look=lambda files: None):
    """Have the version judged as passed by ``metrics`` and failed by ``champion``."""

    def gates(files):
        look(files)
        report = partial(make_report, subject=f"models:/delay/{version}")
        return report("metrics"), report("champion", verdict=Verdict.FAILED)

    return judge_copy(shop.client, "delay", version, gates)


def test_reports_become_evidence_in_their_order_and_count(gated, registry):
    ids = submit_reports(registry, judge(gated), actor="ann")
    found = registry.ask("evidence/list", model="delay", version=1)["attestations"]
    assert [(a["id"], a["gate"], a["verdict"]) for a in found] == [
        (ids[0], "metrics", "passed"),
        (ids[1], "champion", "failed"),
    ]
    assert {(a["trust"], a["signer"], a["problem"]) for a in found} == {
        ("attested", load_key().key_id, "")
    }


def test_the_statement_names_files_environment_and_judge(gated, registry):
    number, _ = submit_reports(registry, judge(gated), actor="ann")
    statement = registry.ask("evidence/show", id=number)["statement"]
    binding = statement["predicate"]["binding"]
    assert binding["model_digest"] == digest_files(gated.folder / "files" / "0")
    assert binding["environment_digest"] == environment_digest()
    assert binding["actor"] == "ann"


def test_the_registrys_own_key_can_stand_for_recomputed(gated, registry):
    submit_reports(registry, judge(gated), trust=Trust.RECOMPUTED)
    found = registry.ask("evidence/list", model="delay", version=1)["attestations"]
    assert {a["trust"] for a in found} == {"recomputed"}


def test_files_that_are_swapped_while_gates_look_at_them_are_found(gated, registry):
    original = gated.folder / "files" / "0" / "MLmodel"

    def swap(files):
        original.write_text("another model")
        assert (files / "MLmodel").read_text() != "another model", "the copy was not isolated"

    with pytest.raises(FilesChangedError, match="models:/delay/1"):
        submit_reports(registry, judge(gated, look=swap))
    assert gated.lines(Kind.EVIDENCE) == []


def test_files_that_the_registry_cannot_read_are_no_evidence(gated, registry):
    judgement = judge(gated)
    shutil.rmtree(gated.folder / "files" / "0")
    with pytest.raises(RegistryStateError, match="cannot read the files of models:/delay/1"):
        submit_reports(registry, judgement)
    assert gated.lines(Kind.EVIDENCE) == []


def test_a_report_about_something_else_is_never_signed(gated, registry):
    gated.add_version()

    def other(_: Path):
        return (make_report("metrics", "models:/delay/2"),)

    with pytest.raises(StatementError, match="subject"):
        submit_reports(registry, judge_copy(gated.client, "delay", 1, other))
    assert gated.lines(Kind.EVIDENCE) == []


def test_a_version_that_does_not_exist_is_told_before_anything_is_read(gated):
    with pytest.raises(ModelNotFoundError, match=r"version 9 of model 'delay'"):
        judge(gated, version=9)
