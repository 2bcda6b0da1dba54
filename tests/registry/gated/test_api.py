"""The API of a real server: every operation, refusals from any client, and who is recorded."""

import shutil
import time

import mlflow
import pytest
from cryptography.fernet import Fernet
from mlflow.exceptions import RestException
from receivers import receive
from served_shop import API, MODEL, REST, ServedShop
from servers import free_port, serve, serve_gated

from mlflow_ext.errors import RegistryStateError
from mlflow_ext.process import current_actor
from mlflow_ext.registry.bundle import check_bundle
from mlflow_ext.registry.gated.service import OPERATIONS
from mlflow_ext.registry.remote import READS, find_registry, require_registry

pytestmark = pytest.mark.slow
CODES = {
    400: "INVALID_PARAMETER_VALUE",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
}
LOCAL_WEBHOOKS = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
}


@pytest.fixture(scope="module")
def shop(empty_store, tmp_path_factory):
    """A server that takes everybody's word for who they are."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copy(empty_store, folder / "mlflow.db")
    with serve_gated(folder, f"sqlite:///{folder}/mlflow.db", **LOCAL_WEBHOOKS) as url:
        yield ServedShop(url, folder)


@pytest.fixture
def model(shop):
    """A registered model with one version, for this test alone."""
    return shop.add_model()


def test_every_operation_has_a_route_that_is_the_clients(shop):
    for name, operation in OPERATIONS.items():
        status, _ = (shop.tell if operation.is_write else shop.ask)(name)
        assert status in (200, 400), name
        other, _ = (shop.ask if operation.is_write else shop.tell)(name)
        assert other == 405, name
    assert {name for name, operation in OPERATIONS.items() if not operation.is_write} == READS


@pytest.mark.parametrize("rest", REST)
@pytest.mark.parametrize("stage", ["Production", "production", "PRODUCTION"])
def test_a_stage_transition_is_refused_with_our_words(shop, model, rest, stage):
    body = {"name": model, "version": "1", "stage": stage}
    status, answer = shop.call(f"{rest}/model-versions/transition-stage", body)
    assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
    assert f"refuses to move version 1 of '{model}' to Production" in answer["message"]
    assert f"mlflow-ext gate run {model} 1" in answer["message"]


@pytest.mark.parametrize("rest", REST)
def test_a_governed_alias_is_refused_until_there_is_evidence_then_kept(shop, model, rest):
    alias = {"name": model, "alias": "champion", "version": "1"}
    path = f"{rest}/registered-models/alias"
    for named in ("champion", "Champion"):
        status, answer = shop.call(path, alias | {"alias": named})
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED"), answer
    assert shop.call(path, alias | {"alias": "mine"})[0] == 200
    assert shop.judge(1, model)[0] == 200
    assert shop.call(path, alias)[0] == 200
    assert shop.client.get_model_version(model, "1").current_stage == "Production"

    for method, gone, body in (
        ("DELETE", path, {"name": model, "alias": "champion"}),
        ("POST", f"{rest}/registered-models/rename", {"name": model, "new_name": f"{model}2"}),
        ("DELETE", f"{rest}/registered-models/delete", {"name": model}),
        ("DELETE", f"{rest}/model-versions/delete", {"name": model, "version": "1"}),
    ):
        status, answer = shop.call(gone, body, method=method)
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED"), gone
        assert "mlflow-ext rollback" in answer["message"], gone


def test_mlflows_client_shows_the_refusal_and_passes_with_evidence(shop, model):
    with pytest.raises(RestException, match=f"To mend it: mlflow-ext gate run {model} 1"):
        shop.client.transition_model_version_stage(model, "1", "Production")
    shop.judge(1, model)
    shop.client.transition_model_version_stage(model, "1", "Production")
    assert shop.client.get_model_version_by_alias(model, "champion").version == "1"
    _, history = shop.ask("history", model=model)
    assert [step["action"] for step in history["transitions"]] == ["refuse", "promote"]
    assert {step["actor"] for step in history["transitions"]} == {current_actor()}
    assert {step["is_claimed"] for step in history["transitions"]} == {True}


def test_a_bundle_leaves_signed_as_a_whole_and_does_not_come_back(shop, model):
    shop.judge(1, model)
    status, bundle = shop.ask("evidence/export", model=model, version=1)
    assert (status, check_bundle(bundle)) == (200, [])
    about = {"model": model, "version": 1}
    for change, told in (
        ({}, "is that of line"),
        ({"entries": bundle["entries"][1:]}, "it was changed after it was signed"),
        ({"seal": None}, "it is not signed"),
    ):
        status, answer = shop.tell("evidence/import", **about, bundle=bundle | change)
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
        assert told in answer["message"]
        assert ("mlflow-ext evidence export" in answer["fix"]) == bool(change)


def test_a_refused_promotion_is_403_and_whole_and_a_dry_run_is_200(shop, model):
    asked = {"model": model, "version": 1, "to": "Production", "reason": "try"}
    status, answer = shop.tell("promote", **asked)
    assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
    assert answer["message"].startswith("Policy 'evidence' refuses")
    assert answer["transition"] is None
    assert not answer["decision"]["is_allowed"]
    for yes in (True, "true"):
        status, answer = shop.tell("promote", **asked, dry_run=yes)
        assert (status, answer["decision"]["is_allowed"]) == (200, False)
    shop.judge(1, model)
    status, answer = shop.tell("promote", **asked)
    assert (status, answer["transition"]["to_stage"]) == (200, "Production")


@pytest.mark.parametrize(
    ("operation", "payload", "status", "found"),
    [
        ("promote", {"model": "m"}, 400, "operation 'promote': "),
        ("rollback", {"model": "m", "reason": "x", "other": 1}, 400, "other: "),
        ("evidence/revoke", {"id": 99_999, "reason": "x"}, 404, "99999"),
        ("rollback", {"model": "none", "reason": "x"}, 400, "no version"),
        ("evidence/import", {"model": "m", "version": 1, "bundle": {}}, 403, "the bundle"),
    ],
)
def test_errors_carry_their_parts(shop, operation, payload, status, found):
    answered, answer = shop.tell(operation, **payload)
    assert (answered, answer["error_code"]) == (status, CODES[status])
    assert found in answer["found"]
    assert answer["fix"] and answer["expected"] and answer["found"] in answer["message"]


def test_what_mlflow_misses_it_says_itself(shop):
    status, answer = shop.ask("status", model="nowhere")
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "nowhere" in answer["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"'])
def test_a_body_that_is_no_object_is_refused(shop, body):
    headers = {"Content-Type": "application/json"}
    status, answer = shop.call(f"{API}/promote", body, method="POST", headers=headers)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_server_without_gates_says_how_it_gets_them(shop, model):
    status, answer = shop.tell("recompute", model=model, version=1)
    assert status == 400
    assert "MLFLOW_EXT_GATES" in answer["fix"]
    assert shop.tell("recompute", model=model, version=2)[0] == 404


@pytest.mark.parametrize(
    ("headers", "actor"), [({"X-Mlflow-Ext-Actor": "zo%C3%AB@lab"}, "zoë@lab"), ({}, "unknown")]
)
def test_the_ledger_says_who_asked_by_their_own_word(shop, model, headers, actor):
    _, answer = shop.tell("approve", headers, model=model, version=1, to="Production")
    assert (answer["entry"]["actor"], answer["entry"]["is_claimed"]) == (actor, True)


def test_the_clients_of_the_command_line_work_against_it(shop, model):
    registry = find_registry(shop.url, actor="ann@lab")
    decided = registry.ask("promote", model=model, version=1, to="Production", reason="x")
    assert not decided["decision"]["is_allowed"]
    with pytest.raises(RegistryStateError, match="not found"):
        registry.ask("status", model="nowhere")
    assert registry.ask("status", model=model)["mode"].startswith("gated")


def test_the_servers_courier_brings_what_happened(shop, model):
    with receive() as receiver:
        status, webhook = shop.tell("webhooks/create", url=receiver.url, events=["transition"])
        assert status == 200, webhook
        shop.judge(1, model)
        shop.client.transition_model_version_stage(model, "1", "Production")
        for _ in range(200):
            if receiver.requests:
                break
            time.sleep(0.1)
        assert model in receiver.requests[0][1]
        shop.tell("webhooks/delete", id=webhook["id"])


def test_behind_a_proxy_and_a_static_prefix_everything_moves_along(empty_store, tmp_path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    given = {"prefix": "/ml", "MLFLOW_EXT_ACTOR_HEADER": "X-Forwarded-User"}
    options = (f"sqlite:///{tmp_path}/mlflow.db", "--static-prefix", "/ml")
    with serve_gated(tmp_path, *options, **given) as url:
        shop = ServedShop(url, tmp_path)
        shop.client.create_registered_model(MODEL)
        source = f"{shop.client.create_run('0').info.artifact_uri}/model"
        run_id = source.split("/")[-3]
        file = f"{source.removeprefix('mlflow-artifacts:/')}/MLmodel"
        assert shop.put(file)[0] == 200
        shop.client.create_model_version(MODEL, source, run_id)
        body = {"name": MODEL, "version": "1", "stage": "Production"}
        move = ("/api/2.0/mlflow/model-versions/transition-stage", body)
        assert shop.call(*move)[0] == 403
        assert shop.judge(1)[0] == 200
        assert shop.call(*move, headers={"X-Forwarded-User": "ann"})[0] == 200
        *_, moved = shop.ask("history", model=MODEL)[1]["transitions"]
        assert (moved["actor"], moved["is_claimed"]) == ("ann", False)
        assert shop.put(file)[0] == 403
        shop.url = url.removesuffix("/ml")  # MLflow serves this one route there, too
        assert shop.put(file)[0] == 403


def test_on_a_plain_registry_the_routes_say_what_is_missing(empty_store, tmp_path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    store = ("--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--app-name", "mlflow-ext")
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with serve(tmp_path, free_port(), *store, **quiet) as url:
        status, answer = ServedShop(url, tmp_path).ask("info")
        assert (status, answer["error_code"]) == (501, "NOT_IMPLEMENTED")
        assert answer["fix"].startswith("start it by: mlflow-ext server")
        assert find_registry(url) is None
        with pytest.raises(RegistryStateError, match="is plain MLflow"):
            require_registry(url)
        mlflow.MlflowClient(url, url).create_registered_model(MODEL)


BROKEN = {
    "half a surrogate": b'{"model": "m", "version": 1, "to": "Production", "reason": "\\ud800"}',
    "nested deep": b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no number": b'{"model": "m", "version": NaN, "to": "Production"}',
    "a long number": b'{"model": "m", "version": ' + b"1" * 5_000 + b', "to": "Production"}',
    "a list": b"[1]",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_body_that_no_line_could_hold_is_the_mistake_of_who_asks(shop, what):
    headers = {"Content-Type": "application/json"}
    status, answer = shop.call(f"{API}/request", BROKEN[what], headers=headers)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_name_cannot_move_the_cursor_of_who_reads_the_ledger(shop, model):
    headers = {"X-Mlflow-Ext-Actor": "ann%1B[2J%00%E2%80%AEbob"}
    asked = {"model": model, "version": 1, "to": "Production", "reason": "x"}
    status, answer = shop.tell("request", headers, **asked)
    assert (status, answer["entry"]["actor"]) == (200, "ann[2Jbob")
