"""Erasure requests: a line in the ledger for each, and the versions that still know the rows."""

import shutil

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException

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


def break_envelope(shop):
    envelope = shop.sign(shop.bind(1), fingerprints=WITH_ROWS)
    shop.add_evidence(1, {**envelope, "payload": envelope["payload"][::-1]})


def edit_line(shop):
    judge(shop, 1, **WITH_ROWS)
    shop.execute("UPDATE mlflow_ext_ledger SET version = 2 WHERE kind = 'evidence'")


@pytest.mark.parametrize("tamper", [break_envelope, edit_line])
def test_where_evidence_was_tampered_with_nothing_is_clean(shop, tamper):
    tamper(shop)
    assert affected(shop) == ([], True), "nothing was erased yet"
    erase(shop)
    (problem,) = shop.ask("erasures/list", model=MODEL)["problems"]
    assert "evidence of model 'delay', cannot be relied on" in problem
    assert affected(shop)[1] is False


def test_other_models_are_left_alone(shop):
    shop.add_versions(1, "other")
    judge(shop, 1, features=OLD)
    erase(shop)
    answer = shop.ask("erasures/list", model="other")
    assert (answer["erasures"], answer["affected"], answer["is_clean"]) == ([], [], True)


@on_each_database
def test_a_version_keeps_what_it_knows_when_the_model_is_renamed(shop):
    judge(shop, 1, **WITH_ROWS)
    told = erase(shop)
    shop.client.rename_registered_model(MODEL, "between")
    shop.client.rename_registered_model("between", "new")
    shop.promote(1, "new", "Staging")
    answer = shop.ask("erasures/list", model="new")
    assert answer["erasures"] == [told]
    assert [(each["model"], each["stage"]) for each in answer["affected"]] == [("new", "Staging")]
    assert answer["is_clean"] is False
    with pytest.raises(MlflowException, match="name=delay not found"):
        shop.ask("erasures/list", model=MODEL)


def copy_version(shop):
    shop.client.create_registered_model("live")
    shop.client.copy_model_version(f"models:/{MODEL}/1", "live")


def register_again(shop):
    shop.client.create_registered_model("live")
    shop.client.create_model_version("live", shop.client.get_model_version(MODEL, "1").source)


def copy_files(shop):
    source = shop.client.get_model_version(MODEL, "1").source
    copied = shutil.copytree(source, shop.folder / "copied")
    shop.client.create_registered_model("live")
    shop.client.create_model_version("live", str(copied))
    envelope = shop.sign(shop.bind(1, "live"), fingerprints={"features": OTHER})
    shop.add_evidence(1, envelope, "live")


@pytest.mark.parametrize("copy", [copy_version, register_again, copy_files])
def test_what_has_the_same_files_knows_the_same_rows(shop, copy):
    judge(shop, 1, **WITH_ROWS)
    copy(shop)
    erase(shop)
    shop.promote(1, "live", "Staging")
    for asked in (MODEL, "live"):
        answer = shop.ask("erasures/list", model=asked)
        known = [(each["model"], each["stage"], each["tables"]) for each in answer["affected"]]
        assert known == [(MODEL, "None", ["features"]), ("live", "Staging", ["features"])]
        assert answer["is_clean"] is False


def test_a_version_without_evidence_knows_what_its_tags_name(shop):
    shop.client.set_model_version_tag(MODEL, "2", "mlflow_ext.fingerprint.train", OLD)
    shop.client.set_model_version_tag(MODEL, "3", "mlflow_ext.fingerprint.train", OTHER)
    erase(shop)
    assert affected(shop) == ([(2, "None", ["train"])], True)
    shop.promote(2, stage="Staging")
    assert affected(shop) == ([(2, "Staging", ["train"])], False)


def test_an_erasure_of_a_model_that_is_not_there_is_none(shop):
    with pytest.raises(MlflowException, match="name=nobody not found"):
        erase(shop, model="nobody")
    with pytest.raises(MlflowException, match="name=nobody not found"):
        shop.ask("erasures/list", model="nobody")
    assert shop.lines(Kind.ERASURE) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprints": []}, "fingerprints"),
        ({"request": ""}, "request"),
        ({"request": "x" * 101}, "request"),
        ({"request": "anna@example.org"}, "names no person"),
        ({"reason": "anna@example.org asked for it"}, "names no person"),
        ({"fingerprints": ["zz"]}, "fingerprints"),
        ({"fingerprints": [OLD.upper()]}, "fingerprints"),
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
