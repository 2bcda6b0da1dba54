"""What was judged stays as it is, by whatever route somebody tries to change it."""

import http.client
import os
import shutil
import socket
import time
from urllib.parse import urlsplit

import pytest
from mlflow.exceptions import RestException
from served_shop import FILES, ServedShop, path_of
from servers import serve_gated

from mlflow_ext.registry.gated.places import spell

AJAX_FILES = "/ajax-api/2.0/mlflow-artifacts/artifacts"
UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"
MULTIPART = [
    f"/{api}/2.0/mlflow-artifacts/mpu/{step}"
    for api in ("api", "ajax-api")
    for step in ("create", "complete", "abort")
]
PARTS = {"path": "MLmodel", "upload_id": "1", "parts": [{"part_number": 1, "etag": "x"}]}


@pytest.fixture(scope="module")
def shop(empty_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("freezing")
    shutil.copy(empty_store, folder / "mlflow.db")
    with serve_gated(folder, f"sqlite:///{folder}/mlflow.db") as url:
        yield ServedShop(url, folder)


@pytest.fixture(scope="module")
def frozen(shop):
    """A version with evidence, whose files lie in the folder of a run."""
    model = shop.add_model()
    version = shop.client.get_model_version(model, "1")
    assert shop.put(f"{path_of(version)}/MLmodel", b"flavors: {}")[0] == 200
    assert shop.judge(1, model)[0] == 200
    yield version
    assert content(shop, version) == "flavors: {}", "a test got through"


@pytest.fixture(scope="module")
def loose(shop):
    """A version without evidence."""
    return shop.client.get_model_version(shop.add_model(), "1")


def content(shop, version):
    return (shop.folder / "artifacts" / path_of(version) / "MLmodel").read_text()


def assert_frozen(status, answer, version):
    assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
    assert f"version {version.version} of model '{version.name}' are frozen" in answer["message"]
    assert f"mlflow-ext gate run {version.name} VERSION" in answer["message"]


@pytest.mark.slow
@pytest.mark.parametrize("files", [FILES, AJAX_FILES])
def test_upload_and_deletion_of_a_file(shop, frozen, loose, files):
    for name in ("MLmodel", "new.txt", "deep/er.txt"):
        assert_frozen(*shop.put(f"{path_of(frozen)}/{name}", files=files), frozen)
        assert shop.put(f"{path_of(loose)}/{name}", files=files)[0] == 200
    for name in ("MLmodel", "new.txt"):
        gone = f"{files}/{path_of(frozen)}/{name}"
        assert_frozen(*shop.call(gone, method="DELETE"), frozen)
    assert shop.call(f"{files}/{path_of(loose)}/new.txt", method="DELETE")[0] == 200
    assert shop.call(f"{files}/{path_of(frozen)}/MLmodel")[0] == 200


@pytest.mark.slow
def test_what_lies_beside_is_not_frozen(shop, frozen):
    beside = os.path.dirname(path_of(frozen))  # noqa: PTH120  of a URL
    for path in (f"{beside}/notes.txt", f"{beside}/model2/MLmodel", "free/MLmodel"):
        assert shop.put(path)[0] == 200
        assert shop.call(f"{FILES}/{path}", method="DELETE")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_folder_above_is_not_deleted(shop, frozen, depth):
    folder = "/".join(path_of(frozen).split("/")[: 4 - depth])
    status, answer = shop.call(f"{FILES}/{folder}", method="DELETE")
    assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.replace("model", "%6dodel"),
        lambda path: path.replace("model", "%256dodel"),
        lambda path: path.replace("/", "%2F"),
        lambda path: path.replace("/", "%252f"),
        lambda path: path.replace("/", "//"),
        lambda path: path.replace("/", "/./"),
        lambda path: path.replace("/", "/%2e/"),
        lambda path: f"x/../{path}",
        lambda path: f"x/%2e%2e/{path}",
        lambda path: f"x/%252e%252e/{path}",
        lambda path: f"/{path}",
        lambda path: f"%2F{path}",
        lambda path: f"./{path}",
        lambda path: f"file:{path}",
        lambda path: f"file%3A{path}",
        lambda path: f"{path}/",
        lambda path: f"{path}?x=1",
        lambda path: f"{path}%00",
    ],
)
def test_no_spelling_of_a_path_gets_through(shop, frozen, write, method):
    parts = urlsplit(shop.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request(method, f"{FILES}/{write(f'{path_of(frozen)}/MLmodel')}", b"changed")
    status = connection.getresponse().status
    connection.close()
    assert status in (400, 403, 308), "308: MLflow asks for the plain spelling"
    assert content(shop, frozen) == "flavors: {}"


@pytest.mark.slow
@pytest.mark.parametrize("route", MULTIPART)
def test_uploads_in_parts(shop, frozen, loose, route):
    assert_frozen(*shop.call(f"{route}/{path_of(frozen)}", PARTS), frozen)
    status, answer = shop.call(f"{route}/{path_of(loose)}", PARTS)
    assert status == 501, answer  # a store of local files takes none


@pytest.mark.slow
def test_the_upload_of_the_web_interface(shop, frozen, loose):
    for path in ("model/MLmodel", "model//MLmodel", "./model/MLmodel", "model%2FMLmodel"):
        asked = f"{UPLOAD}?run_uuid={frozen.run_id}&path={path}"
        assert_frozen(*shop.call(asked, b"changed", method="POST"), frozen)
    for run_id, path, expected in (
        (loose.run_id, "model/new.txt", 200),
        (frozen.run_id, "beside.txt", 200),
        ("none", "beside.txt", 404),
    ):
        asked = f"{UPLOAD}?run_uuid={run_id}&path={path}"
        assert shop.call(asked, b"x", headers={"Content-Type": "text/plain"})[0] == expected


@pytest.mark.slow
@pytest.mark.parametrize("api", ["api", "ajax-api"])
@pytest.mark.parametrize("key", ["run_id", "runId"])
def test_addresses_for_uploads_past_the_server(shop, frozen, loose, api, key):
    route = f"/{api}/2.0/mlflow/artifacts/presigned-upload-url"
    asked = {key: frozen.run_id, "path": "model/MLmodel"}
    assert_frozen(*shop.call(route, asked), frozen)
    status, answer = shop.call(route, asked | {key: loose.run_id})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.slow
def test_runs_and_experiments_whose_files_would_be_collected_stay(shop, frozen, loose):
    with pytest.raises(RestException, match="are frozen: it holds evidence"):
        shop.client.delete_run(frozen.run_id)
    with pytest.raises(RestException, match="are frozen: it holds evidence"):
        shop.client.delete_experiment("0")
    run = shop.client.create_run("0")
    shop.client.delete_run(run.info.run_id)
    assert shop.client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    assert shop.client.get_run(frozen.run_id).info.lifecycle_stage == "active"


@pytest.mark.slow
def test_the_folder_of_a_logged_model(shop):
    name = shop.add_model()
    logged = shop.client.create_logged_model("0")
    shop.client.log_model_artifact(logged.model_id, log_file(shop))
    other = shop.client.create_logged_model("0")
    version = shop.client.create_model_version(name, logged.model_uri, model_id=logged.model_id)
    path = logged.artifact_location.removeprefix("mlflow-artifacts:/")
    assert shop.put(f"{path}/new.txt")[0] == 200
    shop.judge(version.version, name)
    assert_frozen(*shop.put(f"{path}/new.txt"), version)
    asked = {"model_id": logged.model_id, "path": "new.txt"}
    presigned = "/api/2.0/mlflow/artifacts/presigned-upload-url"
    assert_frozen(*shop.call(presigned, asked), version)
    with pytest.raises(RestException, match="are frozen"):
        shop.client.delete_logged_model(logged.model_id)
    shop.client.delete_logged_model(other.model_id)


@pytest.mark.slow
def test_a_copy_of_a_version_does_not_thaw_the_files(shop, frozen):
    name = shop.add_model()
    copy = shop.client.copy_model_version(f"models:/{frozen.name}/{frozen.version}", name)
    assert copy.version == "2"
    assert_frozen(*shop.put(f"{path_of(frozen)}/MLmodel"), frozen)


@pytest.mark.slow
def test_a_protected_stage_freezes_without_evidence_and_lets_go(shop):
    name = shop.add_model()
    rule = {"alias": "champion", "approvals": {"count": 1}}
    policy = {"name": "trusting", "stages": {"Production": rule}}
    shop.tell("policy/set", model=name, policy=policy, reason="test")
    zoe = {"X-Mlflow-Ext-Actor": "zoe@lab"}
    shop.tell("approve", zoe, model=name, version=1, to="Production")
    version = shop.client.get_model_version(name, "1")
    file = f"{path_of(version)}/MLmodel"
    assert shop.put(file)[0] == 200
    shop.client.transition_model_version_stage(name, "1", "Production")
    status, answer = shop.put(file)
    assert_frozen(status, answer, version)
    assert "are frozen: it holds Production" in answer["message"]
    shop.client.transition_model_version_stage(name, "1", "Archived")
    assert shop.put(file)[0] == 200


@pytest.mark.slow
def test_a_file_that_was_judged_while_the_upload_was_on_its_way_stays(shop):
    name = shop.add_model()
    version = shop.client.get_model_version(name, "1")
    before = content(shop, version)
    parts = urlsplit(shop.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as upload:
        request = f"PUT {FILES}/{path_of(version)}/MLmodel HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        upload.sendall(f"{request}Content-Length: 7\r\n\r\ncha".encode())
        time.sleep(0.5)  # until the server has let it in and waits for the rest
        assert shop.judge(1, name)[0] == 200
        upload.sendall(b"nged")
        assert upload.recv(4096).startswith(b"HTTP/1.1 403")
    assert content(shop, version) == before
    files = (shop.folder / "artifacts" / path_of(version)).iterdir()
    assert [file.name for file in files] == ["MLmodel"], "half a file was left behind"


def log_file(shop):
    file = shop.folder / "MLmodel"
    file.write_text("flavors: {}")
    return str(file)


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/1/r/artifacts",
        "mlflow-artifacts:/1//r/./artifacts/",
        "mlflow-artifacts:/1/%72/artifacts",
        "mlflow-artifacts://host:5000/1/r/artifacts?x=1#y",
        "https://host/ml/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts",
        "/srv/files/1/r/artifacts",
        "file:///srv/files/1/r/artifacts",
        "/srv/files/2/../1/r/artifacts",
    ],
)
def test_a_place_has_one_spelling(monkeypatch, location):
    monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", "/srv/files")
    assert spell(location) == "/srv/files/1/r/artifacts"


def test_a_workspace_keeps_its_files_apart(monkeypatch):
    monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", "s3://bucket/files")
    for location in ("mlflow-artifacts:/1/m", "mlflow-artifacts:/workspaces/a/1/m"):
        assert spell(location, "a") == "s3://bucket/files/workspaces/a/1/m"
    assert spell("mlflow-artifacts:/1/m", "default") == "s3://bucket/files/1/m"
