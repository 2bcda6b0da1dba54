"""MLflow's application with ours around it: it loses no answer, and nobody slips by its log-in.

The server runs with basic-auth: whoever has no right on a model of its own may do nothing with it.
"""

import json
import os
import shutil
import subprocess
import sys

import mlflow
import pytest
from mlflow.server.auth.client import AuthServiceClient
from served_shop import API, FILES, REST, ServedShop, log_in, path_of
from servers import serve_gated

from mlflow_ext.plugins.request_headers import ActorRequestHeader
from mlflow_ext.process import current_actor
from mlflow_ext.registry.gated.operations._operation import Nothing, Right
from mlflow_ext.registry.gated.service import OPERATIONS

PASSWORD = "a long enough password"
AUTH = f"""\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///users.db
admin_username = root
admin_password = {PASSWORD}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 600
"""
USERS = {"nobody": None, "reader": "READ", "editor": "EDIT", "manager": "MANAGE"}
ENOUGH = {Right.READ: "reader", Right.UPDATE: "editor", Right.MANAGE: "manager"}
PATHS = [(name, "POST" if OPERATIONS[name].is_write else "GET") for name in OPERATIONS]


@pytest.fixture(scope="module")
def server(empty_store, tmp_path_factory):
    """A server with a user for each right on its only model; yields a shop of each."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copy(empty_store, folder / "mlflow.db")
    (folder / "auth.ini").write_text(AUTH)
    given = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
    }
    database = f"sqlite:///{folder}/mlflow.db"
    with (
        pytest.MonkeyPatch.context() as patch,
        serve_gated(folder, database, app="mlflow-ext-auth", **given) as url,
    ):
        patch.setenv("MLFLOW_TRACKING_USERNAME", "root")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        shops = {"": ServedShop(url, folder), "root": ServedShop(url, folder, credentials("root"))}
        model = shops["root"].add_model()
        accounts = AuthServiceClient(url)
        for user, permission in USERS.items():
            accounts.create_user(user, PASSWORD)
            if permission:
                accounts.grant_user_permission(user, "registered_model", model, permission)
            shops[user] = ServedShop(url, folder, credentials(user))
        yield shops, model


def credentials(user):
    return log_in(user, PASSWORD)


def ask(shop, name, method, model):
    """Ask for an operation about *model* with little more than that."""
    words = {"model": model, "version": 1, "to": "Production", "reason": "x", "id": 1}
    fields = getattr(OPERATIONS[name].payload, "__dataclass_fields__", {})
    payload = {key: value for key, value in words.items() if key in fields}
    return (shop.tell if method == "POST" else shop.ask)(name, **payload)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), PATHS)
def test_no_route_answers_without_a_log_in(server, name, method):
    shops, model = server
    assert ask(shops[""], name, method, model)[0] == 401
    wrong = ServedShop(shops[""].url, shops[""].folder, log_in("root", "wrong"))
    assert ask(wrong, name, method, model)[0] == 401


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), PATHS)
def test_every_route_asks_for_its_right_on_the_model(server, name, method):
    shops, model = server
    operation = OPERATIONS[name]
    ranks = [*USERS, "root"]
    least = ENOUGH.get(operation.right, "root")
    if operation.payload is Nothing and operation.right is Right.READ:
        least = "nobody"
    for user in ranks:
        status, answer = ask(shops[user], name, method, model)
        is_let_in = (status, answer) != (403, "Permission denied")
        assert is_let_in == (ranks.index(user) >= ranks.index(least)), (user, status, answer)


@pytest.mark.slow
def test_what_tells_of_every_model_is_for_admins(server):
    shops, model = server
    policy = {"policy": {"name": "imagined"}}
    for user, status in (("manager", 403), ("root", 200)):
        assert shops[user].ask("replay")[0] == status
        assert shops[user].tell("whatif", **policy)[0] == status
    assert shops["reader"].tell("whatif", model=model, **policy)[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), PATHS)
def test_a_right_on_one_model_is_none_on_another(server, name, method):
    shops, _ = server
    is_about_models = "model" in getattr(OPERATIONS[name].payload, "__dataclass_fields__", {})
    if is_about_models or OPERATIONS[name].right is Right.ADMIN:
        denied = (403, "Permission denied")
        assert ask(shops["manager"], name, method, "another") == denied


@pytest.mark.slow
def test_a_reader_reads(server):
    shops, model = server
    for name in ("status", "history", "policy/show", "replay"):
        assert shops["reader"].ask(name, model=model)[0] == 200
    for name in ("version", "evidence/list"):
        assert shops["reader"].ask(name, model=model, version=1)[0] == 200
    assert shops["reader"].ask("info")[1]["mode"] == "gated"


@pytest.mark.slow
def test_a_body_is_read_in_one_way_only(server):
    """What the right is asked for is what the operation is about."""
    shops, model = server
    free = {"model": "another", "version": 1, "to": "Production"}
    path = f"{API}/promote?model={model}"
    assert shops["editor"].call(path, free)[0] == 403
    double = json.dumps(free)[:-1] + f', "model": "{model}"}}'
    headers = {"Content-Type": "application/json"}
    status, answer = shops["editor"].call(f"{API}/promote", double.encode(), headers=headers)
    assert (status, answer["decision"]["model"]) == (403, model)
    for strange in ({"model": [model], "version": 1}, {"model": None}, {"model": ""}):
        assert shops["nobody"].tell("promote", **strange)[0] in (400, 403)


@pytest.mark.slow
def test_who_is_logged_in_is_no_claim(server):
    shops, model = server
    claim = {"X-Mlflow-Ext-Actor": "somebody@else"}
    _, answer = shops["reader"].tell("approve", claim, model=model, version=1, to="Production")
    assert (answer["entry"]["actor"], answer["entry"]["is_claimed"]) == ("reader", False)
    body = {"name": model, "version": "1", "stage": "Production"}
    for rest in REST:
        status, answer = shops["editor"].call(f"{rest}/model-versions/transition-stage", body)
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
    _, history = shops["reader"].ask("history", model=model)
    assert history["transitions"][-1]["actor"] == "editor"
    assert not history["transitions"][-1]["is_claimed"]


@pytest.mark.slow
def test_files_are_frozen_for_admins_and_nobody_else_learns_of_it(server):
    shops, _ = server
    root = shops["root"]
    name = root.add_model()
    file = f"{path_of(root.client.get_model_version(name, '1'))}/MLmodel"
    assert root.put(file)[0] == 200
    assert root.judge(1, name)[0] == 200
    for method in ("PUT", "DELETE"):
        for user, expected in (("", 401), ("nobody", 403), ("root", 403)):
            status, answer = shops[user].call(f"{FILES}/{file}", b"x", method=method)
            assert status == expected
            assert ("are frozen" in str(answer)) == (user == "root"), (method, user)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/", 200, "<title>MLflow</title>"),
        ("/health", 200, "OK"),
        ("/version", 200, mlflow.__version__),
        ("/ajax-api/3.0/mlflow/server-info", 200, "SqlStore"),
        ("/api/2.0/mlflow/experiments/search?max_results=1", 200, "experiments"),
        ("/ajax-api/3.0/jobs/none", 404, "none"),
        ("/ajax-api/3.0/mlflow/assistant/config", 200, "projects"),
    ],
)
def test_all_that_mlflow_answers_is_still_there(server, path, status, told):
    shops, _ = server
    answered, answer = shops["root"].call(path)
    assert answered == status, answer
    assert told in (answer if isinstance(answer, str) else json.dumps(answer))


@pytest.mark.slow
def test_traces_of_open_telemetry_still_arrive(server):
    shops, _ = server
    headers = {"Content-Type": "application/x-protobuf", "X-Mlflow-Experiment-Id": "0"}
    status, answer = shops["root"].call("/v1/traces", b"", method="POST", headers=headers)
    assert (status, list(answer)) == (400, ["detail"]), answer


def test_every_request_of_mlflows_client_claims_its_user():
    from mlflow.tracking.request_header.registry import resolve_request_headers

    assert resolve_request_headers()["X-Mlflow-Ext-Actor"] == current_actor()


def test_the_actor_may_be_named_and_travels_in_ascii(monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_ACTOR", "zoë@lab")
    provider = ActorRequestHeader()
    assert provider.in_context() is True
    assert provider.request_headers() == {"X-Mlflow-Ext-Actor": "zo%C3%AB@lab"}


@pytest.mark.slow
def test_without_uvicorn_the_flask_application_is_served_and_guarded(empty_store, tmp_path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    code = """
import os
from mlflow_ext.plugins.app import create_app
from mlflow_ext.registry.gated.freezing import refuse_frozen
app = create_app()
answer = app.test_client().get("/api/2.0/mlflow-ext/info", headers={"Host": "localhost"})
is_guarded = refuse_frozen in app.before_request_funcs[None]
print(type(app).__name__, answer.get_json()["mode"], is_guarded)
"""
    given = {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{tmp_path}/mlflow.db",
        "_MLFLOW_SERVER_REGISTRY_STORE": f"gated+sqlite:///{tmp_path}/mlflow.db",
        "_MLFLOW_SGI_NAME": "gunicorn",
        "MLFLOW_EXT_KEY": str(tmp_path / "key.pem"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["Flask", "gated", "True"], done.stderr


@pytest.fixture(scope="module")
def experiments(server):
    """Two experiments: one that the users have their rights on, one that is root's alone."""
    shops, _ = server
    ours, other = (shops["root"].client.create_experiment(name) for name in ("ours", "other"))
    accounts = AuthServiceClient(shops["root"].url)
    for user, permission in USERS.items():
        if permission:
            accounts.grant_user_permission(user, "experiment", ours, permission)
    return ours, other


def finished_run(number, **changes):
    content = {
        "run_id": f"{number:032x}",
        "name": f"run-{number}",
        "status": "FINISHED",
        "start_ms": 1,
        "end_ms": 2,
        "params": {"depth": "3"},
        "metrics": [["loss", 0.5, 2, 0]],
        "tags": {"mlflow.user": "ann"},
    }
    return content | changes


@pytest.mark.slow
def test_runs_are_taken_in_bulk_only_from_who_may_make_runs_there(server, experiments):
    shops, _ = server
    ours, other = experiments
    runs = [finished_run(number) for number in range(3)]
    assert shops[""].tell("runs:bulk", experiment_id=ours, runs=runs)[0] == 401
    assert shops[""].ask("runs:bulk")[0] == 401
    for user in ("nobody", "reader"):
        assert shops[user].ask("runs:bulk") == (200, {"max_runs": 500})
        denied = (403, "Permission denied")
        assert shops[user].tell("runs:bulk", experiment_id=ours, runs=runs) == denied
    assert shops["editor"].tell("runs:bulk", experiment_id=other, runs=runs)[0] == 403
    assert shops["editor"].tell("runs:bulk", experiment_id="777", runs=runs)[0] == 403
    assert shops["root"].client.search_runs([ours, other]) == []

    for made in (3, 0):
        status, answer = shops["editor"].tell("runs:bulk", experiment_id=ours, runs=runs)
        assert (status, answer) == (200, {"made": made, "kept": 3 - made})
    (run, *more) = shops["root"].client.search_runs([ours])
    assert (len(more), run.data.metrics, run.data.params) == (2, {"loss": 0.5}, {"depth": "3"})
    assert run.info.artifact_uri.endswith(f"/{run.info.run_id}/artifacts")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ([finished_run(9), finished_run(8, params={"a[0]": "1"})], "run 1 of the call: Invalid"),
        ([finished_run(9), finished_run(8, status="RUNNING")], "run 1 of the call: runs.1.status"),
        ([finished_run(9), finished_run(8, more=1)], "run 1 of the call: runs.1.more"),
        ([finished_run(9), finished_run(9)], "is there twice"),
        ([finished_run(number) for number in range(501)], "501 runs in one call"),
        ({}, "runs: Input should be"),
    ],
)
def test_runs_that_cannot_be_written_are_refused_by_place_and_reason(
    server, experiments, runs, reason
):
    shops, _ = server
    before = len(shops["root"].client.search_runs([experiments[0]]))
    status, answer = shops["editor"].tell("runs:bulk", experiment_id=experiments[0], runs=runs)

    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert reason in answer["message"]
    assert len(shops["root"].client.search_runs([experiments[0]])) == before


@pytest.mark.slow
def test_a_bulk_that_is_no_json_or_belongs_nowhere_is_refused(server, experiments):
    shops, _ = server
    path = f"{API}/runs:bulk"
    assert shops["editor"].call(path, b"runs", method="POST")[0] == 400
    headers = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"[]", b'{"experiment_id": 1, "runs": []}'):
        status, answer = shops["editor"].call(path, body, "POST", headers)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    status, answer = shops["root"].tell("runs:bulk", experiment_id="777", runs=[])
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
