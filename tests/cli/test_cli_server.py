"""`mlflow-ext server`: the right pair of stores, or a refusal before anything is started."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from judged_models import declare
from served_shop import ServedShop
from servers import free_port, serve

from mlflow_ext.cli import run
from mlflow_ext.errors import ServerOptionError
from mlflow_ext.registry.gated.launch import Launch, check_database

PROGRAM = ("-c", "from mlflow_ext.cli import main; main()", "server")
SQLITE = {"backend_store_uri": "sqlite:///mlflow.db", "port": "5001", "host": None}


@pytest.fixture
def started(monkeypatch):
    """The command line and the environment that would replace this process."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    return calls


def test_the_stores_are_split_and_the_application_is_ours():
    words = Launch(options=SQLITE).command()
    assert words == [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", "sqlite:///mlflow.db", "--port", "5001"),
        *("--registry-store-uri", "gated+sqlite:///mlflow.db", "--app-name", "mlflow-ext"),
        *("--uvicorn-opts", "--loop uvloop"),
    ]
    assert "mlflow-ext-auth" in Launch(options=SQLITE, is_guarded=True).command()


@pytest.mark.parametrize("own", ["--uvicorn-opts=--loop asyncio", "--gunicorn-opts", "--dev"])
def test_who_chooses_a_server_of_their_own_gets_that(own):
    words = Launch(options=SQLITE, more=("--static-prefix", "/ml", own)).command()
    assert words[-3:] == ["--static-prefix", "/ml", own]
    assert "--loop uvloop" not in words


def test_the_environment_knows_webhooks_gates_and_the_job():
    others = {"_MLFLOW_ALLOWED_JOB_NAME_LIST": "mine", "MLFLOW_WEBHOOK_CACHE_TTL": "5"}
    environment = Launch(options=SQLITE, gates=Path("/srv/gates.yaml")).environment(others)
    assert environment == {
        "MLFLOW_WEBHOOK_CACHE_TTL": "5",
        "MLFLOW_EXT_GATES": "/srv/gates.yaml",
        "_MLFLOW_ALLOWED_JOB_NAME_LIST": "mine,mlflow_ext_recompute",
        "_MLFLOW_SUPPORTED_JOB_FUNCTION_LIST": "mlflow_ext.plugins.jobs.recompute",
    }
    assert Launch(options=SQLITE).environment({}) == {"MLFLOW_WEBHOOK_CACHE_TTL": "0"}


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("gated+sqlite:///mlflow.db", "backend store gated"),
        ("./mlruns", "no database that can be gated"),
        ("file:///srv/mlruns", "no database that can be gated"),
        ("/srv/mlruns", "no database that can be gated"),
        ("mssql+pyodbc://me:secret@db/mlflow", "no database that can be gated"),
        ("http://localhost:5000", "no database that can be gated"),
        ("", "no database that can be gated"),
    ],
)
def test_what_cannot_be_gated_is_refused(uri, found, started, capsys):
    assert run(["server", "--backend-store-uri", uri]) == 2
    told = capsys.readouterr().err
    assert found in told and "--backend-store-uri sqlite:///mlflow.db" in told
    assert "secret" not in told
    assert started == []


@pytest.mark.parametrize(
    "uri", ["sqlite:///a.db", "postgresql://h/d", "postgresql+psycopg2://h/d", "mysql+pymysql://h"]
)
def test_what_can_be_gated_is_not(uri):
    check_database(uri)
    assert f"gated+{uri}" in Launch(options={"backend_store_uri": uri}).command()


@pytest.mark.parametrize("word", ["--registry-store-uri=sqlite:///b.db", "--app-name"])
def test_nothing_behind_the_dashes_takes_the_gate_away(word):
    with pytest.raises(ServerOptionError, match="leave the registry gated"):
        Launch(options=SQLITE, more=(word, "basic-auth")).command()


def test_basic_auth_needs_its_secret(monkeypatch, started, capsys):
    monkeypatch.delenv("MLFLOW_FLASK_SERVER_SECRET_KEY", raising=False)
    assert run(["server", "--backend-store-uri", "sqlite:///mlflow.db", "--auth"]) == 2
    assert "export MLFLOW_FLASK_SERVER_SECRET_KEY=$(openssl" in capsys.readouterr().err
    assert started == []


@pytest.mark.slow
@pytest.mark.parametrize("password", [None, "a long enough password"])
def test_basic_auth_needs_a_password_once(tmp_path, password):
    (tmp_path / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///users.db\n"
        "admin_username = root\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    given = {
        "MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
    }
    if password:
        given["MLFLOW_AUTH_ADMIN_PASSWORD"] = password
    code = """
import json, os, sys
os.execve = lambda file, words, environment: print(json.dumps([words, environment]))
sys.argv[1:] = ["server", "--backend-store-uri", "sqlite:///mlflow.db", "--auth"]
from mlflow_ext.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | given,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if password:
        words, environment = json.loads(done.stdout)
        assert words[words.index("--app-name") + 1] == "mlflow-ext-auth"
        assert environment["_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"] == "true"
        assert environment["_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN"]
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert "export MLFLOW_AUTH_ADMIN_PASSWORD=" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_missing_key_for_webhooks_is_said_with_the_way_to_make_one(monkeypatch, started, capsys):
    monkeypatch.delenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", raising=False)
    line = ["server", "--backend-store-uri", "sqlite:///mlflow.db"]
    run(line)
    assert "export MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY=$(python" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", "key")
    run(line)
    assert capsys.readouterr().err == ""
    assert len(started) == 2


def test_a_server_is_not_as_impatient_as_a_command(monkeypatch, started):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # as `main` sets it
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")  # as nobody but a user does
    run(["server", "--backend-store-uri", "sqlite:///mlflow.db"])
    [(_, _, environment)] = started
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in environment
    assert environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


@pytest.mark.slow
def test_it_becomes_a_server_that_judges_for_itself(empty_store, tmp_path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    options = ("--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--gates")
    files = ("--artifacts-destination", str(tmp_path / "artifacts"))
    given = {"MLFLOW_EXT_KEY": str(tmp_path / "key.pem")}
    gates = str(declare(tmp_path))
    port = free_port()
    with serve(tmp_path, port, *options, gates, *files, program=PROGRAM, **given) as url:
        shop = ServedShop(url, tmp_path)
        assert shop.ask("info")[1]["mode"] == "gated"
        running = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
        assert any({str(port), "uvloop"} <= set(words) for words in running)
        model = shop.add_model()
        assert shop.tell("recompute", model=model, version=1, min_acc=0)[0] == 400
        status, answer = shop.tell("recompute", model=model, version=1)
        assert status == 200, answer
        _, job = shop.call(f"/ajax-api/3.0/jobs/{answer['job_id']}")
        assert job["job_name"] == "mlflow_ext_recompute"
        assert job["params"] == {"model": model, "version": 1}
