"""Dead servers, missing databases, refusals: each ends as one error with a fix."""

import socket

import mlflow
import pytest
from protocol_server import speak

from mlflow_ext.errors import RefusedError, RegistryStateError, StoreUnreachableError
from mlflow_ext.registry.connection import connect, reaching
from mlflow_ext.registry.snapshot import read_snapshot


@pytest.fixture
def dead_url(monkeypatch):
    """The address of a port on which nobody listens."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_dead_server_is_an_error_with_its_address_and_the_cause(dead_url):
    client = connect(dead_url)
    with pytest.raises(StoreUnreachableError) as caught:
        read_snapshot(client, "delay")
    assert caught.value.found == f"MLflow store at {dead_url}: Connection refused"
    assert "mlflow-ext doctor" in caught.value.fix


def test_the_registry_is_named_when_it_is_the_registry_that_is_dead(shop, dead_url):
    client = connect(mlflow.get_tracking_uri(), dead_url)
    with pytest.raises(StoreUnreachableError, match=dead_url):
        read_snapshot(client, "delay")


def test_a_database_that_is_not_there_is_an_error_and_is_not_created(tmp_path):
    with pytest.raises(StoreUnreachableError, match="there is no such file"):
        connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_opened_is_an_error_at_once(tmp_path):
    with pytest.raises(StoreUnreachableError, match="unable to open database file"):
        connect(f"sqlite:///{tmp_path}")


def test_a_password_is_not_repeated_in_an_error():
    with pytest.raises(StoreUnreachableError) as caught:
        connect("postgresql+psycopg2://me:secret@127.0.0.1:9/mlflow")
    assert "secret" not in str(caught.value)
    assert "me:***@127.0.0.1" in str(caught.value)


def test_an_address_of_an_unknown_kind_is_an_error(tmp_path):
    with pytest.raises(RegistryStateError, match="ftp://somewhere"):
        read_snapshot(connect("ftp://somewhere"), "delay")


def test_what_the_registry_refuses_is_told_in_its_own_words(shop):
    with pytest.raises(RegistryStateError, match="Names cannot contain '/' or ':'"):
        read_snapshot(shop.client, "a/b")


def test_a_model_with_an_apostrophe_in_its_name_is_found(shop):
    shop.add_model(1, "ann's")
    assert list(read_snapshot(shop.client, "ann's").versions) == [1]


def test_what_a_gated_registry_refuses_is_told_whole(gated):
    gated.add_versions(1)
    with pytest.raises(RefusedError) as caught, reaching(gated.client):
        gated.promote(1)
    lines = caught.value.found.splitlines()
    assert lines[0] == "Policy 'evidence' refuses to move version 1 of 'delay' to Production:"
    assert lines[1].startswith("- at least 1 passed gate: no report.")
    assert caught.value.fix == "mlflow-ext gate run delay 1"


def test_an_error_of_a_gated_registry_keeps_its_parts(gated):
    gated.add_versions(1)
    with pytest.raises(RefusedError) as caught, reaching(gated.client):
        gated.client.set_model_version_tag("delay", "1", "mlflow_ext.pending", "{}")
    assert caught.value.found.startswith("model 'delay': tag 'mlflow_ext.pending'")
    assert caught.value.expected == "a tag of another name; evidence goes into the ledger"
    assert caught.value.fix == "mlflow-ext gate run delay VERSION"


def test_a_refusal_keeps_its_words_on_the_way_from_a_server(gated):
    gated.add_versions(1)
    with pytest.raises(mlflow.MlflowException) as refused:
        gated.promote(1)
    document = {"error_code": "PERMISSION_DENIED", "message": refused.value.message}
    with speak() as protocol:
        protocol.answer("", document, status=403)
        with pytest.raises(RefusedError) as caught:
            read_snapshot(connect(protocol.url), "delay")
    assert caught.value.found == refused.value.message


def test_a_server_that_lets_nobody_in_has_not_refused_anything():
    with speak() as protocol:
        protocol.answer("", b"Permission denied", status=403)
        with pytest.raises(StoreUnreachableError, match="Permission denied"):
            read_snapshot(connect(protocol.url), "delay")
