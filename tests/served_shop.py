"""A gated registry behind a real server, asked as curl, the web UI and MLflow's client ask it."""

import base64
import json
import time
import urllib.request
from itertools import count
from urllib.error import HTTPError
from urllib.parse import urlencode

import mlflow

from mlflow_ext.records import Check, GateReport, Trust, Verdict
from mlflow_ext.registry.signing import load_key, seal
from mlflow_ext.registry.statement import Binding, make_statement

MODEL = "delay"
API = "/api/2.0/mlflow-ext"
REST = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow")
FILES = "/api/2.0/mlflow-artifacts/artifacts"


def log_in(user, password):
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


class ServedShop:
    """Somebody who uses the server at *url*, with *headers* on every request.

    *folder* keeps the key that signs evidence.
    """

    def __init__(self, url, folder, headers=None):
        self.url = url
        self.folder = folder
        self.headers = headers or {}
        self.client = mlflow.MlflowClient(url, url)
        self.experiment = "0"
        self._numbers = count(1)

    def call(self, path, body=None, method=None, headers=None):
        """Send one request; return the status and the JSON, or the text of what is none."""
        sent = self.headers | (headers or {})
        if isinstance(body, dict):
            body, sent = json.dumps(body).encode(), sent | {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", body, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, read(answer.read())
        except HTTPError as error:
            with error:
                return error.code, read(error.read())

    def ask(self, operation, headers=None, **query):
        words = f"?{urlencode(query)}" if query else ""
        return self.call(f"{API}/{operation}{words}", headers=headers)

    def tell(self, operation, headers=None, **payload):
        return self.call(f"{API}/{operation}", payload, headers=headers)

    def add_model(self):
        """Register one more model with one version; return its name."""
        model = f"{MODEL}-{next(self._numbers)}"
        self.client.create_registered_model(model)
        self.add_version(model)
        return model

    def add_version(self, model=MODEL):
        run = self.client.create_run(self.experiment)
        self.client.log_text(run.info.run_id, f"flavors: {{}} # {run.info.run_id}", "model/MLmodel")
        folder = f"{run.info.artifact_uri}/model"
        return self.client.create_model_version(model, folder, run.info.run_id)

    def judge(self, version, model=MODEL, verdict=Verdict.PASSED):
        """Hand in signed evidence about a version as the server reads it; return the answer."""
        status, bound = self.ask("version", model=model, version=version)
        assert status == 200, bound
        binding = Binding(
            workspace=bound["workspace"],
            model=model,
            version=int(version),
            version_created_ms=bound["created_ms"],
            model_digest=bound["digest"],
            actor="judge@test",
            trust=Trust.ATTESTED,
        )
        check = Check(name="roc_auc", verdict=verdict, expected=">= 0.67", observed=0.7)
        report = GateReport(
            gate="metrics",
            subject=f"models:/{model}/{version}",
            checks=(check,),
            fingerprints={},
            config_digest="c" * 64,
            created_ms=time.time_ns() // 1_000_000,
        )
        envelope = seal(load_key(self.folder / "signer.pem"), make_statement(report, binding))
        return self.tell("evidence/add", model=model, version=int(version), envelopes=[envelope])

    def put(self, path, content=b"changed", files=FILES):
        """Upload a file; return the status and the answer."""
        return self.call(f"{files}/{path}", content, method="PUT")


def read(content):
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def path_of(version):
    """The folder of a version below the server's artifacts."""
    return version.source.removeprefix("mlflow-artifacts:/")
