"""The whole way of a version through a real `mlflow server`."""

import pytest
from registry_shop import Shop

from mlflow_ext.registry.advisory.history import read_history
from mlflow_ext.registry.advisory.promote import PromotionRequest, promote
from mlflow_ext.registry.advisory.rollback import rollback
from mlflow_ext.registry.advisory.status import read_status
from mlflow_ext.registry.connection import connect

pytestmark = pytest.mark.slow


def test_a_version_is_judged_promoted_and_rolled_back_through_a_server(server):
    shop = Shop(connect(server))
    promotion = shop.add_model(2)
    for version in (1, 2):
        shop.judge(version)
        for stage in ("Staging", "Production"):
            request = PromotionRequest(
                model="delay", version=version, to_stage=stage, actor="ann@desk", reason="better"
            )
            assert promote(shop.client, promotion, request).transition
    assert shop.state() == ({1: "Archived", 2: "Production"}, {"champion": 2})
    rollback(shop.client, promotion, "delay", "bob@desk", "alarm")
    assert shop.state() == ({1: "Production", 2: "Archived"}, {"champion": 1})
    steps = [(step.version, str(step.action)) for step in read_history(shop.client, "delay")]
    assert steps[-3:] == [(1, "archive"), (1, "rollback"), (2, "archive")]
    status = read_status(shop.client, "delay")
    assert status.problems == ()
    assert set(status.versions[0].gates.values()) == {"passed"}
