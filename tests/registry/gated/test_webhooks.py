"""Subscriptions: what MLflow would refuse is refused, and a secret is never seen again."""

import pytest
import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels.models import EncryptedString

from mlflow_ext.errors import UnknownNameError, WebhookError
from mlflow_ext.registry.gated.tables import webhooks
from mlflow_ext.registry.gated.webhooks import (
    Subscription,
    create_webhook,
    delete_webhook,
    find_subscribed,
    find_target,
    list_webhooks,
)

KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"


@pytest.fixture
def connection(database, open_database):
    with open_database(database).begin() as connection:
        yield connection


def wanted(receiver, **changes):
    return Subscription(**{"url": receiver.url, "secret": "hush", **changes})


def test_a_webhook_is_listed_in_its_workspace_alone(connection, receiver):
    made = create_webhook(connection, "default", wanted(receiver, events=("transition", "policy")))
    assert made.events == ("policy", "transition")
    assert list_webhooks(connection, "default") == [made]
    assert list_webhooks(connection, "other") == []


def test_the_secret_is_encrypted_as_mlflow_does_it_and_shown_to_nobody(connection, receiver):
    made = create_webhook(connection, "default", wanted(receiver))
    assert made.has_secret
    assert "hush" not in repr(made) + repr(wanted(receiver))
    kept = connection.execute(sa.select(webhooks.c.secret)).scalar_one()
    assert "hush" not in kept
    assert EncryptedString().process_result_value(kept, None) == "hush"
    target = find_target(connection, made.id)
    assert target.secret == "hush"
    assert "hush" not in repr(target)


def test_a_webhook_without_a_secret_needs_no_key(connection, receiver, monkeypatch):
    monkeypatch.delenv(KEY)
    made = create_webhook(connection, "default", wanted(receiver, secret=None))
    assert not made.has_secret
    assert find_target(connection, made.id).secret is None


@pytest.mark.parametrize("key", ["", "not a key"])
def test_a_secret_that_would_be_lost_is_refused(connection, receiver, monkeypatch, key):
    monkeypatch.setenv(KEY, key)
    with pytest.raises(WebhookError, match=KEY) as refused:
        create_webhook(connection, "default", wanted(receiver))
    assert "Fernet.generate_key()" in refused.value.fix
    assert list_webhooks(connection, "default") == []


def test_by_default_only_https_is_allowed(connection, receiver, monkeypatch):
    monkeypatch.delenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES")
    with pytest.raises(WebhookError, match="scheme: 'http'"):
        create_webhook(connection, "default", wanted(receiver))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"])
def test_by_default_no_private_address_is_allowed(connection, receiver, monkeypatch, host):
    monkeypatch.delenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS")
    with pytest.raises(WebhookError, match="non-public IP address") as refused:
        create_webhook(connection, "default", wanted(receiver, url=f"https://{host}/hook"))
    assert "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS" in refused.value.fix


@pytest.mark.parametrize("url", ["", "ftp://example.org", "https://", "https://[::1"])
def test_what_is_no_address_is_refused(connection, receiver, url):
    with pytest.raises(WebhookError, match="URL"):
        create_webhook(connection, "default", wanted(receiver, url=url))


def test_what_the_table_cannot_hold_is_refused(connection, receiver):
    with pytest.raises(WebhookError, match="at most 500"):
        create_webhook(connection, "default", wanted(receiver, url=receiver.url + "x" * 500))
    with pytest.raises(WebhookError, match="at most 1000"):
        create_webhook(connection, "default", wanted(receiver, secret="x" * 1000))


def test_an_unknown_event_names_the_nearest_known_one(connection, receiver):
    with pytest.raises(UnknownNameError, match="'transition'"):
        create_webhook(connection, "default", wanted(receiver, events=("transitoin",)))
    with pytest.raises(WebhookError, match="no events"):
        create_webhook(connection, "default", wanted(receiver, events=()))


def test_a_line_concerns_those_who_asked_for_its_kind_in_its_workspace(connection, receiver):
    everything = create_webhook(connection, "default", wanted(receiver))
    some = create_webhook(connection, "default", wanted(receiver, events=("transition",)))
    create_webhook(connection, "other", wanted(receiver))
    kinds = find_subscribed(connection, "default")
    assert kinds == {everything.id: {"*"}, some.id: {"transition"}}


def test_a_webhook_is_deleted_from_its_own_workspace_only(connection, receiver):
    made = create_webhook(connection, "default", wanted(receiver))
    with pytest.raises(UnknownNameError, match="workspace 'other'"):
        delete_webhook(connection, "other", made.id)
    delete_webhook(connection, "default", made.id)
    assert list_webhooks(connection, "default") == []
    assert find_target(connection, made.id) is None
