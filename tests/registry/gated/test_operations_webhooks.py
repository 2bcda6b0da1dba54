"""Webhooks: who is told of what the registry does, and what became of telling them."""

import pytest
from gated_shop import MODEL, on_each_database

from mlflow_ext.errors import UnknownNameError, WebhookError
from mlflow_ext.registry.gated.courier import Courier


@pytest.fixture
def shop(gated):
    gated.add_versions(1)
    return gated


def promote(shop):
    return shop.ask("promote", model=MODEL, version=1, to="Production", reason="go")


def deliveries(shop, **asked):
    return shop.ask("webhooks/deliveries", **asked)["deliveries"]


def test_a_webhook_is_made_listed_and_ended_and_its_secret_never_shown(shop, receiver):
    asked = {"url": receiver.url, "events": ["transition", "refusal"], "secret": "hush"}
    made = shop.ask("webhooks/create", **asked)
    assert (made["events"], made["has_secret"]) == (("refusal", "transition"), True)
    assert shop.ask("webhooks/list") == {"webhooks": [made]}
    assert "hush" not in str(made)
    assert shop.ask("webhooks/delete", id=made["id"]) == {"id": made["id"]}
    assert shop.ask("webhooks/list") == {"webhooks": []}


@on_each_database
def test_what_happens_is_told_and_the_telling_is_listed(shop, receiver):
    hook = shop.ask("webhooks/create", url=receiver.url)["id"]
    promote(shop)
    shop.judge(1)
    promote(shop)
    assert {told["state"] for told in deliveries(shop)} == {"pending"}
    assert Courier(shop.store.engine).deliver_due() == 3
    told = {each["event"] for each in deliveries(shop, id=hook)}
    assert told == {f"model_version.{kind}" for kind in ("refusal", "evidence", "transition")}
    assert {(each["state"], each["attempts"]) for each in deliveries(shop)} == {("delivered", 1)}
    moved = next(p for p in receiver.payloads if p["action"] == "transition")
    assert moved["data"]["body"]["transition"]["to_stage"] == "Production"
    assert (moved["entity"], moved["data"]["actor"]) == ("model_version", "ann")
    assert deliveries(shop, id="another") == []


def test_only_the_kinds_that_were_asked_for_are_told(shop, receiver):
    shop.ask("webhooks/create", url=receiver.url, events=["transition"])
    promote(shop)
    assert deliveries(shop) == []
    shop.judge(1)
    promote(shop)
    assert [told["event"] for told in deliveries(shop)] == ["model_version.transition"]


def test_a_dry_run_is_told_to_nobody(shop, receiver):
    shop.ask("webhooks/create", url=receiver.url)
    shop.ask("promote", model=MODEL, version=1, to="Production", dry_run=True)
    assert deliveries(shop) == []


def test_what_cannot_be_a_webhook_is_told(shop, receiver):
    with pytest.raises(UnknownNameError, match="unknown event 'transitoin'") as error:
        shop.ask("webhooks/create", url=receiver.url, events=["transitoin"])
    assert error.value.fix == "write 'transition' instead of 'transitoin'"
    with pytest.raises(WebhookError, match="no events"):
        shop.ask("webhooks/create", url=receiver.url, events=[])
    with pytest.raises(WebhookError):
        shop.ask("webhooks/create", url="ftp://example.com/hook")
    with pytest.raises(UnknownNameError, match="unknown webhook 'x'"):
        shop.ask("webhooks/delete", id="x")
    assert shop.ask("webhooks/list") == {"webhooks": []}
