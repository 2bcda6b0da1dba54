"""Gate reports travel through the artifacts of a run; tags are never evidence."""

import pytest
from registry_shop import make_report

from mlflow_ext.errors import ModelNotFoundError
from mlflow_ext.records import Trust, Verdict, to_json
from mlflow_ext.registry.advisory.evidence import (
    attach_reports,
    attest_reports,
    load_evidence,
    load_reports,
)
from mlflow_ext.registry.snapshot import read_snapshot


def problems(shop):
    return load_evidence(shop.client, read_snapshot(shop.client, "delay").version(1)).problems


def test_reports_come_back_as_they_were_attached(shop):
    shop.add_model(1)
    run = shop.client.create_run("0").info.run_id
    reports = (make_report("data", "models:/delay/1"), make_report("metrics", "models:/delay/1"))
    attach_reports(shop.client, "delay", 1, run, reports)
    assert load_reports(shop.client, "delay", 1) == reports
    tags = shop.client.get_model_version("delay", "1").tags
    assert tags == {"gate.data": "passed", "gate.metrics": "passed", "mlflow_ext.gate_run": run}


def test_a_version_that_nobody_judged_has_no_reports(shop):
    shop.add_model(1)
    assert load_reports(shop.client, "delay", 1) == ()
    assert problems(shop) == ()


def test_a_later_judgement_replaces_the_earlier_one_with_its_tags(shop):
    shop.add_model(1)
    shop.judge(1)
    run = shop.client.create_run("0").info.run_id
    attach_reports(shop.client, "delay", 1, run, [make_report("data", "models:/delay/1")])
    assert [report.gate for report in load_reports(shop.client, "delay", 1)] == ["data"]
    assert problems(shop) == ()


def test_an_edited_tag_is_reported_and_the_report_counts(shop):
    shop.add_model(1)
    shop.judge(1, metrics=Verdict.FAILED)
    shop.client.set_model_version_tag("delay", "1", "gate.metrics", "passed")
    shop.client.set_model_version_tag("delay", "1", "gate.fairness", "passed")
    assert problems(shop) == (
        "tag gate.fairness says passed, the report says nothing: the report counts",
        "tag gate.metrics says passed, the report says failed: the report counts",
    )
    verdicts = {r.gate: r.verdict for r in load_reports(shop.client, "delay", 1)}
    assert verdicts["metrics"] is Verdict.FAILED


def test_a_tag_without_any_report_is_reported(shop):
    shop.add_model(1)
    shop.client.set_model_version_tag("delay", "1", "gate.data", "passed")
    assert problems(shop) == (
        "tag gate.data says passed, the report says nothing: the report counts",
    )


def test_a_file_that_is_no_report_is_reported_and_left_out(shop):
    shop.add_model(1)
    run = shop.judge(1)
    shop.client.log_text(run, '{"gate": "champion"}', "gates/champion.json")
    assert [r.gate for r in load_reports(shop.client, "delay", 1)] == ["data", "metrics"]
    assert problems(shop)[0] == f"gates/champion.json in run {run} is no report"


def test_reports_about_tables_in_the_same_run_are_no_disagreement(shop):
    shop.add_model(1)
    run = shop.judge(1)
    shop.client.log_text(
        run, to_json(make_report("expectations", "table:features")), "gates/x.json"
    )
    assert problems(shop) == ()


@pytest.mark.parametrize("run", ["0" * 32, None])
def test_a_run_that_holds_no_reports_is_reported(shop, run):
    shop.add_model(1)
    run = run or shop.client.create_run("0").info.run_id
    shop.client.set_model_version_tag("delay", "1", "mlflow_ext.gate_run", run)
    assert problems(shop) == (f"run {run} holds no gate reports",)


def test_a_version_that_does_not_exist_is_an_error(shop):
    shop.add_model(1)
    with pytest.raises(ModelNotFoundError, match="version 9 of model 'delay'"):
        load_reports(shop.client, "delay", 9)


def test_reports_are_claims_and_count_only_for_what_they_are_about():
    reports = [make_report("data", "models:/delay/1"), make_report("metrics", "models:/delay/2")]
    data, metrics = attest_reports(reports, "models:/delay/1")
    assert (data.gate, data.verdict, data.problem) == ("data", "passed", "")
    assert metrics.problem == "it is about models:/delay/2"
    assert {data.trust, metrics.trust} == {Trust.CLAIMED}


def test_what_a_gate_says_of_itself_goes_with_its_claim():
    report = make_report("data", "models:/delay/1", Verdict.FAILED, created_ms=5)
    (claim,) = attest_reports([report], "models:/delay/1")
    assert (claim.created_ms, claim.config_digest) == (5, report.config_digest)
    assert claim.reasons == report.reasons != ()
