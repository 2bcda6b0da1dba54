"""The state of a model in one record."""

import pytest

from mlflow_ext.errors import ModelNotFoundError
from mlflow_ext.records import Verdict
from mlflow_ext.registry.advisory.status import ADVISORY, read_status


def test_each_version_shows_where_it_is_and_on_what_grounds(shop):
    shop.add_model(2)
    run = shop.judge(2, champion=Verdict.INCONCLUSIVE)
    for key, value in {
        "kpi.roc_auc": "0.71",
        "mlflow_ext.commit": "abc",
        "mlflow_ext.dirty": "true",
    }.items():
        shop.client.set_model_version_tag("delay", "2", key, value)
    shop.client.set_registered_model_alias("delay", "challenger", "2")
    shop.client.set_registered_model_tag("delay", "owner", "ann")
    status = read_status(shop.client, "delay")
    newest, oldest = status.versions
    assert (newest.version, newest.stage, newest.aliases) == (2, "None", ("challenger",))
    assert newest.gates == {"champion": "inconclusive", "data": "passed", "metrics": "passed"}
    assert newest.kpis == {"roc_auc": "0.71"}
    assert (newest.commit, newest.is_dirty) == ("abc", True)
    assert (oldest.version, oldest.gates, oldest.commit, oldest.is_dirty) == (1, {}, None, False)
    assert (status.owner, status.mode, status.problems) == ("ann", ADVISORY, ())
    assert run and newest.created_ms >= oldest.created_ms


def test_an_edited_tag_is_no_verdict_and_is_named(shop):
    shop.add_model(1)
    shop.judge(1, data=Verdict.FAILED)
    shop.client.set_model_version_tag("delay", "1", "gate.data", "passed")
    status = read_status(shop.client, "delay")
    assert status.versions[0].gates["data"] == "failed"
    assert status.problems == (
        "version 1: tag gate.data says passed, the report says failed: the report counts",
    )


def test_a_model_without_versions_has_a_status(shop):
    shop.add_model(0)
    assert read_status(shop.client, "delay").versions == ()


def test_a_model_says_what_it_is_for_and_measured_against(shop):
    shop.add_model(0)
    shop.client.update_registered_model("delay", "made by hand")
    assert read_status(shop.client, "delay").goal == "made by hand"
    for key, value in {"goal": "rebook in time", "kpi.roc_auc": ">= 0.67"}.items():
        shop.client.set_registered_model_tag("delay", key, value)
    status = read_status(shop.client, "delay")
    assert (status.goal, status.kpis) == ("rebook in time", {"roc_auc": ">= 0.67"})


def test_an_unknown_model_is_an_error(shop):
    with pytest.raises(ModelNotFoundError, match="nothing"):
        read_status(shop.client, "delay")
