"""Registered models without model files: what the registry decides does not depend on them."""

from mlflow_ext.project import Promotion, StageRule
from mlflow_ext.records import Check, GateReport, Verdict
from mlflow_ext.registry.advisory.evidence import attach_reports


def make_promotion(model="delay"):
    return Promotion(
        model=model,
        stages={
            "Staging": StageRule(requires=("data", "metrics"), alias="challenger"),
            "Production": StageRule(requires=("data", "metrics", "champion"), alias="champion"),
        },
    )


def make_report(gate, subject, verdict=Verdict.PASSED, created_ms=0):
    check = Check(name="roc_auc", verdict=verdict, expected=">= 0.67", observed=0.7)
    return GateReport(
        gate=gate,
        subject=subject,
        checks=(check,),
        fingerprints={"features": "f" * 64},
        config_digest="c" * 64,
        created_ms=created_ms,
    )


class Shop:
    """A registry with models to promote."""

    def __init__(self, client):
        self.client = client

    def add_model(self, versions, model="delay"):
        self.client.create_registered_model(model)
        for _ in range(versions):
            self.client.create_model_version(model, "s3://bucket/model")
        return make_promotion(model)

    def judge(self, version, model="delay", **verdicts):
        """Attach passed reports of the three gates; *verdicts* overrides single ones."""
        gates = dict.fromkeys(("data", "metrics", "champion"), Verdict.PASSED) | verdicts
        subject = f"models:/{model}/{version}"
        reports = [make_report(gate, subject, verdict) for gate, verdict in gates.items()]
        run = self.client.create_run("0")
        attach_reports(self.client, model, version, run.info.run_id, reports)
        return run.info.run_id

    def state(self, model="delay"):
        """Where every version is, by stage and alias."""
        registered = self.client.get_registered_model(model)
        found = self.client.search_model_versions(f"name='{model}'")
        stages = {int(v.version): v.current_stage for v in found}
        return stages, {alias: int(number) for alias, number in registered.aliases.items()}
