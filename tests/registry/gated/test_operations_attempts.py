"""Attempts: every new comparison on a holdout gets the next number, in the ledger."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from gated_shop import MODEL, on_each_database

from mlflow_ext.errors import RequestError
from mlflow_ext.records import Kind
from mlflow_ext.registry.mode import find_mode


@pytest.fixture
def shop(gated):
    gated.add_versions(1)
    return gated


def count(shop, identity, holdout="f00d", model=MODEL):
    asked = {"model": model, "holdout": holdout, "identity": identity}
    return shop.ask("attempts/count", "ann", **asked)["attempt"]


@on_each_database
def test_a_new_comparison_gets_the_next_number_and_an_old_one_keeps_its_own(shop):
    assert [count(shop, identity) for identity in ("a", "b", "a", "c", "b")] == [1, 2, 1, 3, 2]


def test_a_refreshed_holdout_and_another_model_begin_anew(shop):
    shop.add_versions(1, "other")
    assert [count(shop, "a"), count(shop, "b")] == [1, 2]
    assert count(shop, "b", holdout="beef") == 1
    assert count(shop, "b", model="other") == 1


@on_each_database
def test_no_two_comparisons_at_one_moment_share_a_number(shop):
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: count(shop, f"model {n}"), range(16)))
    assert sorted(numbers) == list(range(1, 17))


def test_each_attempt_is_a_line_of_the_chain(shop):
    count(shop, "a")
    count(shop, "a")
    lines = shop.lines(Kind.ATTEMPT)
    assert [(e.actor, e.body["attempt"], e.body["holdout"]) for e in lines] == [("ann", 1, "f00d")]
    assert shop.breaks() == []


def test_a_comparison_without_a_holdout_is_told(shop):
    with pytest.raises(RequestError, match="holdout"):
        shop.ask("attempts/count", model=MODEL, identity="a")


def test_a_client_of_a_gated_registry_counts_there(shop):
    mode = find_mode(shop.client)
    assert [mode.count_attempt(MODEL, "f00d", identity) for identity in "aba"] == [1, 2, 1]
    assert len(shop.lines(Kind.ATTEMPT)) == 2
