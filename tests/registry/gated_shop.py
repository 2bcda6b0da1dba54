"""A gated registry inside this process, with models, evidence and a look behind the counter."""

from dataclasses import replace

import mlflow
import pytest
import sqlalchemy as sa
from registry_shop import make_report
from together import together

from mlflow_ext.plugins.registry_store import build_registry_store
from mlflow_ext.records import Check, Kind, Trust, Verdict
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.caller import Caller
from mlflow_ext.registry.gated.service import perform
from mlflow_ext.registry.gated.standing import read_standing
from mlflow_ext.registry.signing import load_key, seal
from mlflow_ext.registry.statement import Binding, make_statement

MODEL = "delay"
on_each_database = pytest.mark.parametrize(
    "mlflow_database", ["sqlite", "postgresql"], indirect=True
)
"""Lets a test that takes the fixture `gated` run once for each kind of database."""
ALIAS_ONLY = """\
name: alias only
stages:
  Production: {alias: champion}
"""
"""A policy under which everything may go to Production, and the alias goes with it."""


def race_two_stores(gated, rounds):
    """Promote two versions at one moment, each through a store of its own: one gets there."""
    gated.add_versions(2)
    second = build_registry_store(f"gated+{gated.uri}")
    for _ in range(rounds):
        moves = [
            lambda: gated.promote(1),
            lambda: second.transition_model_version_stage(MODEL, 2, "Production", False),
        ]
        assert together(*moves) == []
        stages, aliases = gated.state()
        [holder] = [version for version, stage in stages.items() if stage == "Production"]
        assert aliases == {"champion": holder}
    assert gated.breaks() == []


class GatedShop:
    """A client of a gated registry over the database *uri*; model files lie under *folder*."""

    def __init__(self, uri, folder):
        self.uri = uri
        self.folder = folder
        self.client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=f"gated+{uri}")
        self.store = self.client._get_registry_client().store
        self.key = load_key(folder / "signer.pem")

    def add_versions(self, count, model=MODEL):
        """Register *count* more versions of a model, each with files of its own."""
        if not self.client.search_registered_models(f"name='{model}'"):
            self.client.create_registered_model(model)
        for _ in range(count):
            self.add_version(model)

    def add_version(self, model=MODEL):
        files = self.folder / "files" / str(len(list(self.folder.glob("files/*"))))
        files.mkdir(parents=True)
        (files / "MLmodel").write_text(f"flavors: {{}} # {files.name}")
        return self.client.create_model_version(model, str(files))

    def bind(self, version, model=MODEL, **changes):
        """Say what evidence about a version must be bound to; *changes* tell lies about it."""
        with self.store.reading(model) as moment:
            standing = read_standing(moment.connection, moment.workspace, model, version)
        binding = Binding(
            workspace=moment.workspace,
            model=model,
            version=version,
            version_created_ms=standing.versions[version].created_ms,
            model_digest=self.store.digest_of(model, version),
            actor="judge@test",
            trust=Trust.ATTESTED,
        )
        return replace(binding, **changes)

    def sign(self, binding, verdict=Verdict.PASSED, gate="metrics", key=None, **report):
        """Return signed evidence; its *gate* came to *verdict* about what *binding* names."""
        subject = f"models:/{binding.model}/{binding.version}"
        told = replace(make_report(gate, subject, verdict), **report)
        return seal(key or self.key, make_statement(told, binding))

    def add_evidence(self, version, envelope, model=MODEL, verdict=Verdict.PASSED, gate="metrics"):
        """Write an envelope into the ledger, whatever it says; return its line."""
        body = {
            "envelope": envelope,
            "report": {"gate": gate, "verdict": str(verdict)},
            "trust": str(Trust.ATTESTED),
        }
        return self.append(Kind.EVIDENCE, body, model, version)

    def judge(self, version, model=MODEL, verdict=Verdict.PASSED, gate="metrics"):
        """Let a gate come to *verdict* about a version as it is; return the line."""
        envelope = self.sign(self.bind(version, model), verdict, gate)
        return self.add_evidence(version, envelope, model, verdict, gate)

    def append(self, kind, body, model=MODEL, version=None):
        """Write a line into the ledger as the registry does."""
        with self.store.holding(model) as moment:
            asked = () if version is None else (version,)
            standing = read_standing(moment.connection, moment.workspace, model, *asked)
            row = standing.versions.get(version)
            draft = ledger.Draft(
                workspace=moment.workspace,
                kind=kind,
                model=model,
                caller=moment.caller,
                time_ms=moment.now_ms,
                body=body,
                version=version,
                version_created_ms=row.created_ms if row else None,
            )
            return ledger.append(moment.connection, draft)

    def ask(self, operation, actor="ann", is_claimed=True, **payload):
        """Have an operation answered, as *actor* asks it over HTTP."""
        caller = Caller(actor=actor, is_claimed=is_claimed, client="test")
        return perform(self.store, operation, caller, payload)

    def govern(self, actor="ann", model=MODEL, **policy):
        """Set a policy of these parts, as its owner does."""
        return self.ask("policy/set", actor, model=model, policy={"name": "own", **policy})

    def promote(self, version, model=MODEL, stage="Production"):
        return self.client.transition_model_version_stage(model, str(version), stage)

    def state(self, model=MODEL):
        """Where every version is, by stage and alias."""
        found = self.client.search_model_versions(f"name='{model}'")
        aliases = self.client.get_registered_model(model).aliases
        stages = {int(v.version): v.current_stage for v in found}
        return stages, {alias: int(number) for alias, number in aliases.items()}

    def lines(self, *kinds, model=None):
        with self.store.reading() as moment:
            return ledger.read(moment.connection, moment.workspace, model, kinds=kinds)

    def breaks(self):
        """Verify the chain; return what is wrong with it."""
        with self.store.reading() as moment:
            rows, head, found = ledger.verify(moment.connection, moment.workspace)
        assert found or rows == head.seq
        return found

    def execute(self, statement, **values):
        """Run SQL behind the registry's back; return the number of rows it touched."""
        with self.store.engine.begin() as connection:
            return connection.execute(sa.text(statement), values).rowcount


def failed_check(name="roc_auc"):
    """A check that did not pass."""
    return Check(name=name, verdict=Verdict.FAILED, expected=">= 0.67", observed=0.5)
