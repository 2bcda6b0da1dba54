"""How far the job goes with a version that its gates allow everywhere."""

import pytest
from registry_shop import Shop

from pipelines.gate import Gated
from pipelines.promote import promote
from pipelines.register import Registered


@pytest.fixture
def shop(tracking):
    return Shop(tracking)


def go_up(promotion, version):
    registered = Registered(
        model="delay", version=version, source="models:/m-1", policy="", objections=()
    )
    return promote(promotion, registered, Gated(reports=(), evidence=()))


def test_a_version_goes_through_every_stage_of_the_policy(shop):
    promotion = shop.add_model(1)
    shop.judge(1)
    promoted = go_up(promotion, 1)
    assert (promoted.stage, promoted.aliases, promoted.refusals) == (
        "Production",
        ("champion",),
        (),
    )


def test_the_first_stage_that_refuses_is_the_last_one_tried(shop):
    promotion = shop.add_model(1)
    shop.judge(1, metrics="failed")
    promoted = go_up(promotion, 1)
    assert promoted.stage == "None"
    [refusal] = promoted.refusals
    assert refusal.startswith("Staging: gate metrics: failed")


def test_a_run_for_older_data_does_not_put_an_older_version_back(shop):
    """A gated registry takes that for a rollback, which asks for no gates."""
    promotion = shop.add_model(2)
    for version in (1, 2):
        shop.judge(version)
        assert go_up(promotion, version).refusals == ()
    assert shop.state()[0] == {1: "Archived", 2: "Production"}
    promoted = go_up(promotion, 1)
    assert promoted.stage == "Staging"
    [refusal] = promoted.refusals
    assert refusal == (
        "Production: version 2 is newer; to go back to an older one: "
        "mlflow-ext rollback delay --reason '...'"
    )
    assert shop.state()[0] == {1: "Staging", 2: "Production"}
