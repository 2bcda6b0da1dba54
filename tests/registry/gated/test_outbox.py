"""Deliveries: told if and only if it happened, signed, once, and again until somebody listens."""

import base64
import dataclasses
import hashlib
import hmac
import json
import socket
import threading
import time

import pytest
import requests
from cryptography.fernet import Fernet
from mlflow.entities.webhook import Webhook as MlflowWebhook
from mlflow.entities.webhook import WebhookEvent
from mlflow.webhooks.delivery import _send_webhook_request

from mlflow_ext.records import Entry, Kind
from mlflow_ext.registry.gated import courier as couriers
from mlflow_ext.registry.gated.courier import Courier, Schedule, read_clock
from mlflow_ext.registry.gated.outbox import (
    State,
    enqueue,
    list_deliveries,
    settle_delivered,
    settle_failed,
    take,
)
from mlflow_ext.registry.gated.tables import metadata
from mlflow_ext.registry.gated.webhooks import Subscription, create_webhook, delete_webhook

SECRET = "hush"
SCHEDULE = Schedule(attempts=3, first_ms=1_000)
LINE = Entry(
    id=7,
    workspace="default",
    seq=5,
    kind=Kind.TRANSITION,
    model="delays",
    version=3,
    version_created_ms=1,
    stage="Production",
    time_ms=1_700_000_000_000,
    actor="ada",
    is_claimed=False,
    client="curl",
    body={"transition": {"to_stage": "Production"}, "dossier": {"long": "x" * 99}},
    previous="",
    hash="ab",
)


class Clock:
    """A time that stands still until the test moves it."""

    def __init__(self):
        self.now_ms = LINE.time_ms

    def __call__(self):
        return self.now_ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine(database, open_database):
    return open_database(database)


@pytest.fixture
def courier(engine, clock):
    return Courier(engine, SCHEDULE, clock)


def subscribe(engine, receiver, workspace="default", **wanted):
    wanted = Subscription(**{"url": receiver.url, "secret": SECRET, **wanted})
    with engine.begin() as connection:
        return create_webhook(connection, workspace, wanted).id


def happen(engine, **changes):
    with engine.begin() as connection:
        enqueue(connection, [dataclasses.replace(LINE, **changes)])


def told(engine, webhook=None):
    with engine.connect() as connection:
        return list_deliveries(connection, "default", webhook)


def signature(headers, body):
    signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body}"
    digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


# --- what is written -----------------------------------------------------------------------------


def test_a_line_is_queued_once_for_each_webhook_that_wants_it(engine, receiver):
    every, some = subscribe(engine, receiver), subscribe(engine, receiver, events=("transition",))
    subscribe(engine, receiver, events=("policy",))
    subscribe(engine, receiver, workspace="other")
    happen(engine)
    assert {delivery.webhook for delivery in told(engine)} == {every, some}
    assert {delivery.state for delivery in told(engine)} == {State.PENDING}
    assert {delivery.event for delivery in told(engine)} == {"model_version.transition"}


def test_what_is_rolled_back_is_never_told(engine, receiver, courier):
    subscribe(engine, receiver)
    with engine.connect() as connection:
        enqueue(connection, [LINE])
        connection.rollback()
    assert courier.deliver_due() == 0
    assert receiver.requests == []
    assert told(engine) == []


def test_deliveries_are_listed_newest_first_and_by_webhook(engine, receiver):
    first, second = subscribe(engine, receiver), subscribe(engine, receiver, events=("policy",))
    happen(engine)
    happen(engine, kind=Kind.POLICY, version=None, time_ms=LINE.time_ms + 1)
    assert [each.event for each in told(engine, first)] == [
        "registered_model.policy",
        "model_version.transition",
    ]
    assert [each.event for each in told(engine, second)] == ["registered_model.policy"]


# --- what arrives --------------------------------------------------------------------------------


def test_the_receiver_can_verify_who_sent_it_and_reads_what_happened(engine, receiver, courier):
    webhook = subscribe(engine, receiver)
    happen(engine)
    assert courier.deliver_due() == 1
    [(headers, body)] = receiver.requests
    assert hmac.compare_digest(headers["X-MLflow-Signature"], signature(headers, body))
    payload = json.loads(body)
    assert payload["entity"] == "model_version"
    assert payload["action"] == "transition"
    assert payload["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert payload["data"]["model"] == "delays"
    assert payload["data"]["body"] == {"transition": {"to_stage": "Production"}}
    [delivery] = told(engine, webhook)
    assert (delivery.state, delivery.attempts, delivery.answer) == (State.DELIVERED, 1, "200 OK")
    assert (delivery.delivered_ms, delivery.due_ms) == (LINE.time_ms, None)


def test_without_a_secret_there_is_no_signature(engine, receiver, courier):
    subscribe(engine, receiver, secret=None)
    happen(engine)
    courier.deliver_due()
    [(headers, _)] = receiver.requests
    assert "X-MLflow-Signature" not in headers


def test_a_receiver_of_mlflows_webhooks_finds_everything_where_it_was(engine, receiver, courier):
    event = WebhookEvent("model_version", "created")
    theirs = MlflowWebhook("id", "name", receiver.url, [event], 0, 0, secret=SECRET)
    with requests.Session() as session:
        _send_webhook_request(theirs, {"name": "delays"}, event, session)
    subscribe(engine, receiver)
    happen(engine)
    courier.deliver_due()
    (their_headers, their_body), (our_headers, our_body) = receiver.requests
    assert set(json.loads(their_body)) <= set(json.loads(our_body))
    assert {name for name in their_headers if name.startswith(("X-", "Content-Type"))} == {
        name for name in our_headers if name.startswith(("X-", "Content-Type"))
    }
    assert their_headers["X-MLflow-Signature"] == signature(their_headers, their_body)


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_failure_is_tried_again_after_its_time_by_whoever_is_there_then(
    database, open_database, receiver, clock
):
    engine = open_database(database)
    receiver.statuses = [500]
    subscribe(engine, receiver)
    happen(engine)
    Courier(engine, SCHEDULE, clock).deliver_due()
    [failed] = told(engine)
    assert (failed.state, failed.answer) == (State.PENDING, "500 Internal Server Error")
    engine.dispose()

    restarted = Courier(open_database(database), SCHEDULE, clock)
    clock.now_ms += 999
    assert restarted.deliver_due() == 0
    clock.now_ms += 1
    assert restarted.deliver_due() == 1
    [delivered] = told(engine)
    assert (delivered.state, delivered.attempts) == (State.DELIVERED, 2)
    first, second = (headers["X-MLflow-Delivery-Id"] for headers, _ in receiver.requests)
    assert first == second == delivered.id


def test_waits_double_and_the_last_failure_ends_it(engine, receiver, courier, clock):
    receiver.statuses = [500, 503, 404, 200]
    subscribe(engine, receiver)
    happen(engine)
    waits = []
    for _ in range(3):
        courier.deliver_due()
        [delivery] = told(engine)
        waits.append(delivery.due_ms and delivery.due_ms - clock.now_ms)
        clock.now_ms += 10_000
    assert waits == [1_000, 2_000, None]
    assert courier.deliver_due() == 0
    assert (delivery.state, delivery.answer) == (State.GIVEN_UP, "404 Not Found")
    assert len(receiver.requests) == 3


def test_nobody_listening_is_a_failure_like_another(engine, receiver, courier):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        subscribe(engine, receiver, url=f"http://127.0.0.1:{closed.getsockname()[1]}/")
        happen(engine)
        courier.deliver_due()
    [delivery] = told(engine)
    assert delivery.state is State.PENDING
    assert delivery.answer.startswith("ConnectionError")


def test_a_redirect_is_not_followed(engine, receiver, courier):
    receiver.statuses = [307]
    subscribe(engine, receiver)
    happen(engine)
    courier.deliver_due()
    assert len(receiver.requests) == 1
    assert told(engine)[0].answer == "307 Temporary Redirect"


def test_an_address_that_is_no_longer_allowed_is_sent_nothing(
    engine, receiver, courier, monkeypatch
):
    subscribe(engine, receiver)
    happen(engine)
    monkeypatch.delenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS")
    courier.deliver_due()
    assert receiver.requests == []
    assert "non-public IP address" in told(engine)[0].answer


def test_a_name_that_leads_inside_only_once_it_was_checked_is_sent_nothing(
    engine, receiver, courier, monkeypatch
):
    port = receiver.url.split(":")[-1].split("/")[0]
    subscribe(engine, receiver, url=f"http://rebinding.example:{port}/")
    happen(engine)
    answers = ["8.8.8.8", "127.0.0.1"]

    def resolve(host, port, *args, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    monkeypatch.delenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS")
    with monkeypatch.context() as dns:
        dns.setattr(socket, "getaddrinfo", resolve)
        outcome = couriers.post(
            take(engine, LINE.time_ms, 1),
            couriers.Target(url=f"http://rebinding.example:{port}/", secret=None),
            timeout_s=5,
        )
    assert answers == []
    assert receiver.requests == []
    assert outcome.answer.startswith("SSRFProtectionError")


def test_a_secret_that_cannot_be_read_sends_nothing_unsigned(
    engine, receiver, courier, monkeypatch, clock
):
    key = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
    subscribe(engine, receiver)
    happen(engine)
    with monkeypatch.context() as other:
        other.setenv(key, Fernet.generate_key().decode())
        courier.deliver_due()
    assert receiver.requests == []
    assert "cannot be decrypted" in told(engine)[0].answer
    clock.now_ms += 1_000
    courier.deliver_due()
    assert told(engine)[0].state is State.DELIVERED


def test_deliveries_of_a_deleted_webhook_are_given_up(engine, receiver, courier):
    webhook = subscribe(engine, receiver)
    happen(engine)
    with engine.begin() as connection:
        delete_webhook(connection, "default", webhook)
    courier.deliver_due()
    assert receiver.requests == []
    [delivery] = told(engine)
    assert (delivery.state, delivery.answer) == (State.GIVEN_UP, "the webhook was deleted")


# --- several at once -----------------------------------------------------------------------------


def test_what_a_dead_courier_had_in_hand_is_taken_over_and_settled_by_the_new_one_alone(
    engine, receiver, courier, clock
):
    subscribe(engine, receiver)
    happen(engine)
    abandoned = take(engine, clock(), lease_ms=60_000)
    assert courier.deliver_due() == 0
    clock.now_ms += 60_000
    assert courier.deliver_due() == 1
    assert not settle_failed(engine, abandoned, "late", clock() + 1)
    assert not settle_delivered(engine, abandoned, "late", clock())
    [delivery] = told(engine)
    assert (delivery.state, delivery.attempts, delivery.answer) == (State.DELIVERED, 2, "200 OK")


def test_a_delivery_that_kills_its_couriers_is_given_up(engine, receiver, courier, clock):
    subscribe(engine, receiver)
    happen(engine)
    for _ in range(SCHEDULE.attempts):
        assert take(engine, clock(), lease_ms=1)
        clock.now_ms += 1
    courier.deliver_due()
    assert receiver.requests == []
    assert told(engine)[0].state is State.GIVEN_UP


def test_two_servers_deliver_everything_once(database, open_database, receiver):
    engines = [open_database(database), open_database(database)]
    subscribe(engines[0], receiver)
    for number in range(30):
        happen(engines[0], seq=number, time_ms=read_clock())
    both = [Courier(engine) for engine in engines]
    for courier in both:
        courier.start()
    try:
        wait_until(lambda: all(each.state is State.DELIVERED for each in told(engines[0])))
    finally:
        for courier in both:
            courier.stop()
    assert sorted(payload["data"]["seq"] for payload in receiver.payloads) == list(range(30))
    assert {each.attempts for each in told(engines[0])} == {1}


def test_a_courier_waits_for_a_database_that_is_not_ready(
    tmp_path, open_database, receiver, monkeypatch
):
    monkeypatch.setattr(couriers, "RECOVER_S", 0.05)
    engine = open_database(f"sqlite:///{tmp_path}/empty.db")
    courier = Courier(engine)
    courier.start()
    try:
        time.sleep(0.2)  # it looks, and finds no tables
        metadata.create_all(engine)
        subscribe(engine, receiver)
        happen(engine, time_ms=read_clock())
        wait_until(lambda: told(engine)[0].state is State.DELIVERED)
    finally:
        courier.stop()
    assert len(receiver.requests) == 1


def test_a_courier_that_is_stopped_ends(engine):
    courier = Courier(engine)
    courier.start()
    assert "courier" in {thread.name for thread in threading.enumerate()}
    courier.stop()
    assert "courier" not in {thread.name for thread in threading.enumerate()}
