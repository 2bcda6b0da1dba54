"""Erasure requests: a line in the ledger for each, and the versions that still know the rows."""

import pytest
from gated_shop import MODEL, on_each_database

from mlflow_ext.errors import RequestError
from mlflow_ext.records import Kind

OLD, OTHER = "f" * 64, "e" * 64
WITH_ROWS = {"features": OLD}


@pytest.fixture
def shop(gated):
    gated.add_versions(3)
    return gated


def erase(shop, *fingerprints, request="DSR-17", rows=3, **changes):
    told = {"model": MODEL, "request": request, "rows": rows, "reason": "Art. 17 GDPR"} | changes
    return shop.ask("erasures/record", "ann", fingerprints=[*fingerprints] or [OLD], **told)


def judge(shop, version, **fingerprints):
    envelope = shop.sign(shop.bind(version), fingerprints=fingerprints)
    shop.add_evidence(version, envelope)


def affected(shop):
    answer = shop.ask("erasures/list", model=MODEL)
    found = [(each["version"], each["stage"], each["tables"]) for each in answer["affected"]]
    return found, answer["is_clean"]


@on_each_database
def test_an_erasure_is_a_line_of_the_chain(shop):
    told = erase(shop, OTHER, OLD)
    (line,) = shop.lines(Kind.ERASURE)
    assert (line.actor, line.seq, line.model) == ("ann", told["seq"], MODEL)
    assert line.body == {
        "request": "DSR-17",
        "fingerprints": [OTHER, OLD],
        "rows": 3,
        "reason": "Art. 17 GDPR",
    }
    assert shop.ask("erasures/list", model=MODEL)["erasures"] == [told]
    assert shop.breaks() == []


def test_the_same_erasure_is_recorded_once_and_more_rows_are_another(shop):
    first = erase(shop)
    assert erase(shop) == first
    assert erase(shop, rows=4)["seq"] > first["seq"]
    assert len(shop.lines(Kind.ERASURE)) == 2


def test_versions_that_were_judged_on_the_rows_are_named(shop):
    judge(shop, 1, train=OLD, holdout=OTHER)
    judge(shop, 2, train="d" * 64)
    assert affected(shop) == ([], True), "nothing was erased yet"
    erase(shop)
    assert affected(shop) == ([(1, "None", ["train"])], True)
    shop.promote(1)
    assert affected(shop) == ([(1, "Production", ["train"])], False)
    judge(shop, 2, features="d" * 64)
    shop.promote(2)
    assert affected(shop) == ([(1, "Archived", ["train"])], True), "the next one took its place"


def test_a_version_that_is_gone_knows_nothing_any_more(shop):
    judge(shop, 3, **WITH_ROWS)
    erase(shop)
    assert affected(shop)[0] == [(3, "None", ["features"])]
    shop.client.delete_model_version(MODEL, "3")
    assert affected(shop) == ([], True)


def test_evidence_that_was_tampered_with_names_no_rows(shop):
    envelope = shop.sign(shop.bind(1), fingerprints=WITH_ROWS)
    shop.add_evidence(1, {**envelope, "payload": envelope["payload"][::-1]})
    erase(shop)
    assert affected(shop) == ([], True)


def test_other_models_are_left_alone(shop):
    shop.add_versions(1, "other")
    erase(shop)
    assert shop.ask("erasures/list", model="other")["erasures"] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprints": []}, "fingerprints"),
        ({"request": ""}, "request"),
        ({"request": "x" * 101}, "request"),
        ({"rows": -1}, "rows"),
        ({"reason": ""}, "reason"),
        ({"name": "Ann Smith"}, "name"),
    ],
)
def test_what_is_missing_or_too_much_is_named_and_nothing_written(shop, changes, said):
    payload = {"model": MODEL, "request": "DSR-17", "rows": 3, "reason": "x"}
    with pytest.raises(RequestError, match=said):
        shop.ask("erasures/record", **({**payload, "fingerprints": [OLD]} | changes))
    assert shop.lines(Kind.ERASURE) == []
