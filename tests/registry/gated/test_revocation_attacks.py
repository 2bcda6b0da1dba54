"""A revocation holds on to what it withdrew, whatever happens to numbers in the database."""

from dataclasses import replace

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException

from mlflow_ext.records import Kind
from mlflow_ext.registry.chain import entry_hash

SET_NUMBER = "UPDATE mlflow_ext_ledger SET id = :to WHERE seq = :seq"


@pytest.fixture
def shop(gated):
    """Version 1 has revoked evidence, version 2 standing evidence."""
    gated.add_versions(2)
    gated.bad, gated.good = gated.judge(1), gated.judge(2)
    gated.ask("evidence/revoke", id=gated.bad.id, reason="wrong data")
    return gated


@pytest.fixture
def old_shop(gated):
    """The same, as the registry wrote it when a revocation named a number and nothing else."""
    gated.add_versions(2)
    gated.bad, gated.good = gated.judge(1), gated.judge(2)
    gated.append(Kind.REVOCATION, {"entry": gated.bad.id, "reason": "wrong data"}, MODEL, 1)
    return gated


def why_not(shop):
    """Promote version 1, which is refused; return the words."""
    with pytest.raises(MlflowException) as error:
        shop.promote(1)
    assert shop.state()[0] == {1: "None", 2: "None"}
    return error.value.message


def swap_numbers(shop):
    """Let the revoked line and the good one change their numbers."""
    for line, to in ((shop.bad, 10**6), (shop.good, shop.bad.id), (shop.bad, shop.good.id)):
        assert shop.execute(SET_NUMBER, to=to, seq=line.seq) == 1


def test_a_revocation_names_its_line_by_what_the_hash_covers(shop):
    [line] = shop.lines(Kind.REVOCATION)
    bad = shop.bad
    named = {"entry": bad.id, "seq": bad.seq, "hash": bad.hash}
    assert line.body == {**named, "reason": "wrong data"}


@on_each_database
def test_revoked_evidence_under_another_number_stays_revoked(shop):
    assert shop.execute(SET_NUMBER, to=10**6, seq=shop.bad.seq) == 1
    assert "it does not count: it was revoked" in why_not(shop)
    [found, *_] = shop.breaks()
    assert found.seq == shop.good.seq
    assert found.problem == "its number is not above 1000000, that of line 3"


@on_each_database
def test_evidence_that_takes_the_number_of_revoked_evidence_still_counts(shop):
    swap_numbers(shop)
    assert "it does not count: it was revoked" in why_not(shop)
    assert shop.promote(2).current_stage == "Production"
    assert shop.breaks() != []


def test_an_old_revocation_is_understood(old_shop):
    assert "it does not count: it was revoked" in why_not(old_shop)
    assert old_shop.breaks() == []
    assert old_shop.ask("replay")["different"] == ()


def test_an_old_revocation_whose_line_is_gone_stops_the_decision(old_shop):
    assert old_shop.execute(SET_NUMBER, to=10**6, seq=old_shop.bad.seq) == 1
    assert "line 5 of the ledger withdraws evidence that is not there" in why_not(old_shop)
    assert old_shop.breaks() != []


def test_numbers_that_were_swapped_under_an_old_revocation_are_found(old_shop):
    swap_numbers(old_shop)
    assert [found.seq for found in old_shop.breaks()] == [old_shop.good.seq]


def test_revoked_evidence_that_was_rewritten_with_a_hash_of_its_own_stops_the_decision(shop):
    """The line verifies by itself then; what withdraws it knows better."""
    forged = replace(shop.bad, actor="eve")
    edit = "UPDATE mlflow_ext_ledger SET actor = :actor, hash = :hash WHERE seq = :seq"
    shop.execute(edit, actor="eve", hash=entry_hash(forged), seq=forged.seq)
    assert "line 5 of the ledger withdraws evidence that is not there" in why_not(shop)
