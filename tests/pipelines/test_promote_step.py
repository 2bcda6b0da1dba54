"""How far the job goes with a version, from what the gates have said about it."""

import pytest

from mlflow_ext.project import Promotion, StageRule
from mlflow_ext.records import Check, GateReport, Verdict
from mlflow_ext.registry.advisory.evidence import attach_reports
from pipelines.gate import Gated
from pipelines.promote import promote
from pipelines.register import Registered

PROMOTION = Promotion(
    model="delay",
    stages={
        "Staging": StageRule(requires=("metrics",), alias="challenger"),
        "Production": StageRule(requires=("metrics",), alias="champion"),
    },
)


@pytest.fixture
def client(tracking):
    tracking.create_registered_model("delay")
    return tracking


def go_up(client, version, verdict=Verdict.PASSED):
    """Judge a version, and promote it as the last step of a run does."""
    report = GateReport(
        gate="metrics",
        subject=f"models:/delay/{version}",
        checks=(Check(name="roc_auc", verdict=verdict, expected=">= 0.67", observed=0.7),),
        fingerprints={},
        config_digest="c" * 64,
        created_ms=0,
    )
    attach_reports(client, "delay", version, client.create_run("0").info.run_id, [report])
    registered = Registered(
        model="delay", version=version, source="models:/m-1", policy="", objections=()
    )
    return promote(PROMOTION, registered, Gated(reports=(report,), evidence=()))


def add_version(client):
    return int(client.create_model_version("delay", "s3://bucket/model").version)


def test_a_version_goes_through_every_stage_of_the_policy(client):
    promoted = go_up(client, add_version(client))
    assert (promoted.stage, promoted.aliases) == ("Production", ("champion",))
    assert promoted.refusals == ()


def test_the_first_stage_that_refuses_is_the_last_one_tried(client):
    promoted = go_up(client, add_version(client), Verdict.FAILED)
    assert promoted.stage == "None"
    [refusal] = promoted.refusals
    assert refusal.startswith("Staging: gate metrics: failed")


def test_a_run_for_older_data_does_not_put_an_older_version_back(client):
    """A gated registry takes that for a rollback, which asks for no gates."""
    older, newer = add_version(client), add_version(client)
    assert [go_up(client, version).stage for version in (older, newer)] == ["Production"] * 2
    promoted = go_up(client, older)
    assert promoted.stage == "Staging"
    assert promoted.refusals == (
        "Production: version 2 is newer; to go back to an older one: "
        "mlflow-ext rollback delay --reason '...'",
    )
    assert client.get_model_version("delay", str(newer)).current_stage == "Production"
