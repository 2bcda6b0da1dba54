"""The plain HTTP client of a gated registry: what it sends, and what it makes of the answers."""

import datetime
import ipaddress
import ssl
import subprocess
import sys
import threading
from http.client import responses
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.tracking._model_registry import utils as model_registry
from mlflow.tracking._tracking_service import utils as tracking_service
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from protocol_server import API, speak

from mlflow_ext.errors import RefusedError, RegistryStateError, StoreUnreachableError
from mlflow_ext.registry import remote
from mlflow_ext.registry.connection import registry_address
from mlflow_ext.registry.gated.service import OPERATIONS
from mlflow_ext.registry.remote import (
    READS,
    LocalRegistry,
    RemoteRegistry,
    find_registry,
    require_registry,
)

VARIABLES = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_WORKSPACE",
    "REQUESTS_CA_BUNDLE",
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Nobody's settings: no variables, an empty home."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def protocol():
    with speak() as protocol:
        yield protocol


@pytest.fixture
def registry(protocol):
    return RemoteRegistry(protocol.url, "ann@desk")


def write_credentials(home, user, password):
    (home / ".mlflow").mkdir()
    text = f"[mlflow]\nmlflow_tracking_username = {user}\nmlflow_tracking_password = {password}\n"
    (home / ".mlflow" / "credentials").write_text(text)


def test_a_reading_operation_is_a_get_with_its_payload_as_query(protocol, registry):
    protocol.answer("evidence/list", {"attestations": []})
    answer = registry.ask("evidence/list", model="a b/ü", version=3, stage=None)
    (request,) = protocol.asked
    assert answer == {"attestations": []}
    assert (request.method, request.path) == ("GET", f"{API}evidence/list")
    assert request.query == {"model": "a b/ü", "version": "3"}


def test_any_other_operation_is_a_post_with_its_payload_as_json(protocol, registry):
    protocol.answer("whatif", {"decisions": 0})
    registry.ask("whatif", policy={"name": "später"}, model=None)
    (request,) = protocol.asked
    assert (request.method, request.path) == ("POST", f"{API}whatif")
    assert request.body == {"policy": {"name": "später"}}
    assert request.headers["Content-Type"] == "application/json"


def test_what_changes_nothing_is_a_get_for_client_and_registry_alike():
    assert {name for name, each in OPERATIONS.items() if not each.is_write} == READS


def test_it_says_who_asks_and_with_what(protocol):
    RemoteRegistry(protocol.url, "李@desk 1%").ask("info")
    headers = protocol.received[0].headers
    assert unquote(headers["X-Mlflow-Ext-Actor"]) == "李@desk 1%"
    assert headers["X-Mlflow-Ext-Client"].startswith("mlflow-ext/")


def test_an_ascii_actor_is_sent_as_it_is(protocol, registry):
    registry.ask("info")
    assert protocol.received[0].headers["X-Mlflow-Ext-Actor"] == "ann@desk"


def test_a_prefix_of_the_path_stays(protocol):
    assert find_registry(f"{protocol.url}/ml/flow/") is not None
    assert protocol.received[0].path == f"/ml/flow{API}info"


SETTINGS = [
    {},
    {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "s:ü"},
    {"MLFLOW_TRACKING_USERNAME": "ann"},
    {"MLFLOW_TRACKING_TOKEN": "t0ken"},
    {
        "MLFLOW_TRACKING_USERNAME": "ann",
        "MLFLOW_TRACKING_PASSWORD": "secret",
        "MLFLOW_TRACKING_TOKEN": "t0ken",
    },
    {"MLFLOW_WORKSPACE": " team-a "},
    {"MLFLOW_WORKSPACE": " "},
]


@pytest.mark.parametrize("has_file", [False, True], ids=["no-file", "file"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "+".join(s) or "nothing")
def test_credentials_and_workspace_are_sent_as_mlflow_sends_them(
    settings, has_file, protocol, monkeypatch, home
):
    if has_file:
        write_credentials(home, "bob", "in-file")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    RemoteRegistry(protocol.url).ask("info")
    http_request(get_default_host_creds(protocol.url), f"{API}info", "GET")
    ours, theirs = (
        {key.lower(): value for key, value in request.headers.items()}
        for request in protocol.received
    )
    for header in ("authorization", "x-mlflow-workspace"):
        assert ours.get(header) == theirs.get(header)


def test_a_user_in_the_address_counts_and_the_password_is_never_shown(protocol):
    address = protocol.url.replace("://", "://ann:s%3Acret@")
    protocol.answer("status", {"message": "broken"}, 500)
    registry = RemoteRegistry(address)
    with pytest.raises(StoreUnreachableError) as caught:
        registry.ask("status", model="delay")
    assert protocol.received[0].headers["Authorization"] == "Basic YW5uOnM6Y3JldA=="
    assert "cret" not in str(caught.value) and "cret" not in registry.address


def test_a_file_of_credentials_that_cannot_be_read_is_named(protocol, home):
    (home / ".mlflow").mkdir()
    (home / ".mlflow" / "credentials").write_text("no section")
    with pytest.raises(RegistryStateError, match="credentials"):
        RemoteRegistry(protocol.url)


@pytest.mark.parametrize("tracking", [None, "http://tracking-option"])
@pytest.mark.parametrize("registry", [None, "http://registry-option"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"MLFLOW_TRACKING_URI": "http://t"},
        {"MLFLOW_REGISTRY_URI": "http://r"},
        {"MLFLOW_TRACKING_URI": "http://t", "MLFLOW_REGISTRY_URI": "http://r"},
    ],
    ids=lambda settings: "+".join(settings) or "nothing",
)
def test_the_address_is_found_as_mlflow_finds_it(tracking, registry, settings, monkeypatch):
    monkeypatch.setattr(model_registry, "_registry_uri", None)
    monkeypatch.setattr(tracking_service, "_tracking_uri", None)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    default = model_registry.get_registry_uri() if not settings else None
    found = registry_address(tracking, registry) or default
    assert found == model_registry._resolve_registry_uri(registry, tracking)


def test_a_refused_promotion_is_a_document(protocol, registry):
    refusal = {"error_code": "PERMISSION_DENIED", "decision": {"is_allowed": False}}
    protocol.answer("promote", refusal, 403)
    assert registry.ask("promote", model="delay") == refusal


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, RefusedError), (404, RegistryStateError), (400, RegistryStateError)],
)
def test_an_error_of_the_registry_keeps_its_three_parts(status, kind, protocol, registry):
    parts = {"found": "no model 'dealy'", "expected": "one of delay", "fix": "mlflow-ext doctor"}
    protocol.answer("policy/set", {"error_code": "X", "message": "…", **parts}, status)
    with pytest.raises(kind) as caught:
        registry.ask("policy/set", model="dealy")
    assert {name: getattr(caught.value, name) for name in parts} == parts


@pytest.mark.parametrize(
    ("status", "document", "kind", "words"),
    [
        (401, b"Who are you?", StoreUnreachableError, ["401", "MLFLOW_TRACKING_USERNAME"]),
        (403, b"Permission denied", RefusedError, ["403", "MLFLOW_TRACKING_TOKEN"]),
        (500, {"message": "database is locked"}, StoreUnreachableError, ["database is locked"]),
        (502, b"<h1>Bad</h1>", StoreUnreachableError, [responses[502]]),
        (404, b"<h1>?</h1>", RegistryStateError, [responses[404], "correct its address"]),
        (
            404,
            {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Model with name=dealy not found"},
            RegistryStateError,
            ["name=dealy not found", "correct the name", "mlflow-ext status MODEL"],
        ),
        (200, b"<h1>Hello</h1>", StoreUnreachableError, ["200"]),
        (200, b"[1]", StoreUnreachableError, ["200"]),
        (
            400,
            {"error_code": "BAD", "message": "no stage"},
            RegistryStateError,
            ["no stage", "BAD", "correct what was asked"],
        ),
    ],
)
def test_any_other_answer_is_an_error_with_a_fix(status, document, kind, words, protocol):
    protocol.answer("history", document, status)
    with pytest.raises(kind) as caught:
        RemoteRegistry(protocol.url).ask("history", model="delay")
    assert caught.value.fix
    for word in words:
        assert word in str(caught.value)


def test_a_redirect_is_not_followed_but_told(protocol, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    with speak() as elsewhere:
        protocol.answer("info", {"location": f"{elsewhere.url}{API}info"}, 308)
        with pytest.raises(StoreUnreachableError) as caught:
            find_registry(protocol.url)
        assert elsewhere.received == []
        assert caught.value.fix == f"export MLFLOW_TRACKING_URI={elsewhere.url}"


def test_nobody_at_the_address_is_an_error_at_once():
    with speak() as protocol:
        url = protocol.url
    with pytest.raises(StoreUnreachableError) as caught:
        find_registry(url)
    assert caught.value.found == f"MLflow store at {url}: Connection refused"


@pytest.mark.parametrize("address", ["http://", "http://127.0.0.1:port", "http://a b"])
def test_an_address_that_is_none_is_an_error(address):
    with pytest.raises(StoreUnreachableError):
        find_registry(address)


def test_a_server_that_does_not_answer_in_time_is_given_up(protocol, monkeypatch):
    gate = threading.Event()
    protocol.answer("info", lambda _: gate.wait(30) and {})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "0.2")
    try:
        with pytest.raises(StoreUnreachableError, match="timed out") as caught:
            find_registry(protocol.url)
    finally:
        gate.set()
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" in caught.value.fix


def test_a_timeout_that_is_no_number_is_told(protocol, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon")
    with pytest.raises(RegistryStateError, match="soon"):
        find_registry(protocol.url)


def make_certificate(folder):
    """Write a self-signed certificate of 127.0.0.1 with its key; returns the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    return file


@pytest.fixture
def tls_server(tmp_path):
    """A server with a certificate that nobody trusts yet; yields its protocol and that file."""
    file = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with speak(context) as protocol:
        yield protocol, file


def test_a_certificate_that_nobody_vouches_for_is_refused(tls_server):
    with pytest.raises(StoreUnreachableError, match="certificate verify failed") as caught:
        find_registry(tls_server[0].url)
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in caught.value.fix


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"])
def test_a_named_authority_vouches(variable, tls_server, monkeypatch):
    monkeypatch.setenv(variable, str(tls_server[1]))
    assert find_registry(tls_server[0].url) is not None


def test_insecure_tls_is_as_insecure_as_it_says(tls_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert find_registry(tls_server[0].url) is not None


def test_a_certificate_file_that_is_not_there_is_told(tls_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "nowhere.pem")
    with pytest.raises(StoreUnreachableError, match="No such file") as caught:
        find_registry(tls_server[0].url)
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in caught.value.fix


@pytest.mark.parametrize(
    ("status", "document"),
    [(404, b"<h1>Not Found</h1>"), (403, b"Permission denied"), (200, {"mode": "advisory"})],
)
def test_a_server_that_does_not_say_it_is_gated_is_plain_mlflow(status, document, protocol):
    protocol.answer("info", document, status)
    assert find_registry(protocol.url) is None


def test_a_database_without_the_prefix_is_plain_mlflow(tracking):
    assert find_registry() is None


def test_a_gated_address_is_asked_in_this_process(tmp_path):
    found = find_registry("http://127.0.0.1:9", f"gated+sqlite:///{tmp_path}/mlflow.db")
    assert isinstance(found, LocalRegistry)


def test_a_gated_database_that_is_not_there_is_not_created(tmp_path):
    registry = find_registry(None, f"gated+sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(StoreUnreachableError, match="there is no such file"):
        registry.ask("status", model="delay")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_plain_server_is_found_plain_and_the_error_says_what_to_start(server):
    assert find_registry(server) is None
    with pytest.raises(RegistryStateError) as caught:
        require_registry(server)
    assert server in caught.value.found
    assert caught.value.fix.startswith("mlflow-ext server --backend-store-uri")


def test_the_client_imports_nothing_heavy():
    heavy = {"mlflow", "pandas", "requests", "pydantic", "yaml", "sqlalchemy", "flask", "numpy"}
    code = f"import sys; import {remote.__name__}; print({heavy!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
