"""How things stand, and what is asked wrongly."""

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException

from mlflow_ext import __version__
from mlflow_ext.errors import RequestError, UnknownNameError
from mlflow_ext.records import Verdict
from mlflow_ext.registry import tags
from mlflow_ext.registry.signing import load_key


def status(shop, model=MODEL):
    answer = shop.ask("status", model=model)
    return answer, {version["version"]: version for version in answer["versions"]}


def test_the_registry_says_that_it_is_gated_and_how_it_signs(gated, server_key):
    key = load_key(server_key)
    assert gated.ask("info") == {
        "mode": "gated",
        "version": __version__,
        "workspace": "default",
        "key_id": key.key_id,
        "public_key": key.public_key,
    }


@on_each_database
def test_status_tells_stages_aliases_and_gates_newest_first(gated):
    gated.add_versions(3)
    gated.judge(1)
    gated.promote(1)
    gated.judge(3, verdict=Verdict.FAILED, gate="data")
    gated.client.set_registered_model_tag(MODEL, "team", "delays")
    answer, versions = status(gated)
    assert answer["mode"] == "gated: policy 'evidence' governs, for every client"
    assert (answer["model"], answer["problems"]) == (MODEL, ())
    assert list(versions) == [3, 2, 1]
    assert (versions[1]["stage"], versions[1]["aliases"]) == ("Production", ("champion",))
    assert [versions[n]["gates"] for n in (3, 2, 1)] == [
        {"data": "failed"},
        {},
        {"metrics": "passed"},
    ]


def test_status_names_evidence_that_does_not_count(gated):
    gated.add_versions(1)
    line = gated.judge(1)
    gated.promote(1)
    (gated.folder / "files" / "0" / "MLmodel").write_text("others")
    answer, versions = status(gated)
    assert versions[1]["gates"] == {}
    assert answer["problems"] == (
        f"version 1: evidence {line.id} (gate 'metrics') does not count: "
        "the model's files have changed",
    )


def test_status_tells_the_policys_own_stages_and_their_gates(gated):
    gated.add_versions(2)
    gated.judge(1)
    gated.govern(stages={"shadow": {"alias": "shadow", "gates": [{"gate": "metrics"}]}})
    gated.ask("promote", model=MODEL, version=1, to="shadow", reason="try")
    _, versions = status(gated)
    assert (versions[1]["stage"], versions[1]["aliases"]) == ("shadow", ("shadow",))
    assert versions[1]["gates"] == {"metrics": "passed"}
    assert versions[2]["stage"] == "None"
    gated.ask("promote", model=MODEL, version=1, to="Archived", reason="enough")
    assert status(gated)[1][1]["stage"] == "Archived"


def test_status_tells_provenance_and_what_the_model_is_for(gated):
    gated.add_versions(1)
    for key, value in {tags.COMMIT: "abc", tags.DIRTY: "true", "kpi.roc_auc": "0.7"}.items():
        gated.client.set_model_version_tag(MODEL, "1", key, value)
    gated.client.update_registered_model(MODEL, "who is late?")
    answer, versions = status(gated)
    assert answer["goal"] == "who is late?"
    assert (versions[1]["commit"], versions[1]["is_dirty"]) == ("abc", True)
    assert versions[1]["kpis"] == {"roc_auc": "0.7"}


def test_any_name_that_mlflow_takes_has_a_status(gated):
    for model in ("it's", "café"):
        gated.client.create_registered_model(model)
        gated.add_version(model)
        assert list(status(gated, model)[1]) == [1]


def test_the_status_of_no_model_is_missing_as_in_mlflow(gated):
    with pytest.raises(MlflowException) as error:
        status(gated, "nobody")
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_an_unknown_operation_is_told_with_the_nearest(gated):
    for name, meant in (("evidnce/add", "evidence/add"), ("rolback", "rollback")):
        with pytest.raises(UnknownNameError) as error:
            gated.ask(name)
        assert error.value.found == f"unknown operation '{name}'"
        assert error.value.fix == f"write '{meant}' instead of '{name}'"


MISFITS = [
    ("promote", {"model": MODEL, "to": "Production"}, "version: Field required"),
    ("promote", {"model": MODEL, "version": 0, "to": "x"}, "version: Input should be greater"),
    ("promote", {"model": MODEL, "version": "one", "to": "x"}, "version: Input should be a"),
    ("promote", {"model": MODEL, "version": 1, "to": ""}, "to: String should have at least"),
    ("promote", {"model": MODEL, "version": 1, "to": "x", "dry_run": "?"}, "dry_run: "),
    ("approve", {"model": MODEL, "version": 1, "to": "x", "dry_run": True}, "dry_run: Unexpected"),
    ("rollback", {"model": MODEL}, "reason: Field required"),
    ("rollback", {"model": MODEL, "reason": "x", "version": 1}, "version: Unexpected keyword"),
    ("status", {"model": ""}, "model: String should have at least 1"),
    ("info", {"model": MODEL}, "model: Unexpected keyword"),
    ("audit/export", {"limit": 5_001}, "limit: Input should be less"),
    ("audit/export", {"after": -1}, "after: Input should be greater"),
    ("evidence/add", {"model": MODEL, "version": 1, "envelopes": []}, "envelopes: Tuple"),
    ("evidence/add", {"model": MODEL, "version": 1, "envelopes": ["x"]}, "envelopes.0: "),
    ("policy/set", {"model": MODEL, "policy": "strict"}, "policy: Input should be a valid dict"),
]


def test_a_payload_that_does_not_fit_is_told_by_its_field(gated):
    for operation, payload, told in MISFITS:
        with pytest.raises(RequestError) as error:
            gated.ask(operation, **payload)
        assert error.value.found.startswith(f"operation '{operation}': {told}")
    assert gated.lines() == []


def test_numbers_may_come_as_texts(gated):
    gated.add_versions(1)
    assert gated.ask("version", model=MODEL, version="1")["version"] == 1
    assert len(gated.ask("audit/export", after="0", limit="1")["entries"]) == 1
