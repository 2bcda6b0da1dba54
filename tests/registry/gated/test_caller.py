"""Who asked: what a header claims, what a proxy has checked, and who is at the keyboard."""

import pytest
from flask import Flask, g

from mlflow_ext.process import current_actor
from mlflow_ext.registry.gated.caller import Caller, acting_as, current_caller


def asked_with(headers, user=None):
    app = Flask("server")
    with app.test_request_context("/", headers=headers):
        if user:
            g.mlflow_authenticated_user = user
        return current_caller()


@pytest.mark.parametrize(
    ("headers", "actor"),
    [
        ({"X-Mlflow-Ext-Actor": "zo%C3%AB@lab"}, "zoë@lab"),
        ({"X-Mlflow-Ext-Actor": "ann%0Abob"}, "ann bob"),
        ({}, "unknown"),
    ],
)
def test_without_a_check_a_name_is_claimed(headers, actor):
    caller = asked_with(headers | {"User-Agent": "curl/8"})
    assert caller == Caller(actor=actor, is_claimed=True, client="curl/8")


def test_who_has_logged_in_claims_no_other_name():
    assert asked_with({"X-Mlflow-Ext-Actor": "bob"}, user="ann").actor == "ann"


def test_behind_a_proxy_only_its_header_counts(monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_ACTOR_HEADER", "X-Forwarded-User")
    checked = asked_with({"X-Forwarded-User": "ann", "X-Mlflow-Ext-Actor": "bob"})
    assert (checked.actor, checked.is_claimed) == ("ann", False)
    unchecked = asked_with({"X-Mlflow-Ext-Actor": "bob"})
    assert (unchecked.actor, unchecked.is_claimed) == ("unknown", True)


def test_outside_a_request_it_is_the_user_of_the_process():
    assert current_caller().actor == current_actor()
    with acting_as(Caller(actor="ann")):
        assert current_caller() == Caller(actor="ann")
