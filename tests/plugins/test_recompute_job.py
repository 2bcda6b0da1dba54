"""The server judges for itself, whatever the client that starts the job would like it to find."""

import json
import time
import urllib.request

import mlflow
import pytest
from judged_models import declare, fit, fit_blind, register
from servers import free_port, serve

from mlflow_ext.cli import run
from mlflow_ext.errors import RegistryStateError
from mlflow_ext.plugins.jobs import recompute
from mlflow_ext.registry.gated.governance import server_key_id
from mlflow_ext.registry.gated.recomputation import (
    GATES_VARIABLE,
    JOB,
    JOB_VARIABLES,
    server_gates,
    start_recomputation,
)
from mlflow_ext.registry.remote import find_registry

ENDED = ("SUCCEEDED", "FAILED", "TIMEOUT", "CANCELED")


def ask(url, payload=None):
    body = None if payload is None else json.dumps(payload).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def run_job(url, **params):
    """Start the job as any client may, and wait for its end."""
    job = ask(f"{url}/ajax-api/3.0/jobs/", {"job_name": JOB, "params": params})
    for _ in range(600):
        if job["status"] in ENDED:
            break
        time.sleep(0.2)
        job = ask(f"{url}/ajax-api/3.0/jobs/{job['job_id']}")
    return job


def test_the_variables_name_the_job():
    metadata = recompute._job_fn_metadata
    assert {
        "_MLFLOW_SUPPORTED_JOB_FUNCTION_LIST": metadata.fn_fullname,
        "_MLFLOW_ALLOWED_JOB_NAME_LIST": metadata.name,
    } == JOB_VARIABLES


def test_without_a_file_of_its_own_the_server_judges_nothing(monkeypatch):
    monkeypatch.delenv(GATES_VARIABLE, raising=False)
    with pytest.raises(RegistryStateError, match="was started without MLFLOW_EXT_GATES"):
        server_gates()
    with pytest.raises(RegistryStateError, match="was started without MLFLOW_EXT_GATES"):
        start_recomputation("delay", 1)


@pytest.fixture
def gated_server(tracking, tmp_path, monkeypatch):
    """A server with the job and gates of its own; yields its URL, and points MLflow at it."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    gates = tmp_path / "server"
    gates.mkdir()
    settings = {
        **JOB_VARIABLES,
        GATES_VARIABLE: str(declare(gates)),
        "MLFLOW_EXT_KEY": str(tmp_path / "key.pem"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    stores = ("--backend-store-uri", uri, "--registry-store-uri", f"gated+{uri}")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    server_key_id.cache_clear()  # a server has one key for life, a test process has many
    with serve(
        tmp_path,
        free_port(),
        *stores,
        "--artifacts-destination",
        str(tmp_path / "artifacts"),
        "--app-name",
        "mlflow-ext",
    ) as url:
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        yield url
    server_key_id.cache_clear()


def evidence(tmp_path, version):
    """Look into the ledger: gate -> (verdict, trust) of the evidence that counts."""
    registry = find_registry(registry_uri=f"gated+sqlite:///{tmp_path}/mlflow.db")
    found = registry.ask("evidence/list", model="delay", version=version)["attestations"]
    return {a["gate"]: (a["verdict"], a["trust"]) for a in found if not a["problem"]}


@pytest.mark.slow
def test_the_server_judges_by_its_own_gates_and_signs_what_it_found(gated_server, tmp_path, capsys):
    client = mlflow.MlflowClient()
    mlflow.set_experiment("over http")
    good, blind = register(client, fit()), register(client, fit_blind())

    job = run_job(gated_server, model="delay", version=good)
    assert (job["status"], job["result"]["verdicts"]["metrics"]) == ("SUCCEEDED", "passed"), job
    passed = ("passed", "recomputed")
    assert evidence(tmp_path, good) == {"metrics": passed, "champion": passed}

    job = run_job(gated_server, model="delay", version=blind, min_acc=0)
    assert job["status"] == "FAILED"
    assert "min_acc" in json.dumps(job)
    assert evidence(tmp_path, blind) == {}

    assert run(["recompute", "delay", str(blind), "--tracking-uri", gated_server]) == 1
    assert "recomputed" in capsys.readouterr().out
    failed = ("failed", "recomputed")
    undecided = ("inconclusive", "recomputed")  # it is the base rate itself
    assert evidence(tmp_path, blind) == {"metrics": failed, "champion": undecided}
