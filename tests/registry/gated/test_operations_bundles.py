"""Evidence that goes from one registry to another, and counts there only if all of it holds."""

import json
import shutil

import pytest
from gated_shop import GatedShop, on_each_database

from mlflow_ext.errors import RefusedError
from mlflow_ext.records import Kind, Trust, Verdict
from mlflow_ext.registry.gated.governance import server_key_id
from mlflow_ext.registry.signing import load_key

DEV, PROD = "delay", "late"


@pytest.fixture
def dev(gated):
    """Version 1 was judged and promoted here."""
    gated.add_versions(1)
    gated.judge(1)
    gated.ask("promote", model=DEV, version=1, to="Production", reason="good here")
    return gated


@pytest.fixture
def open_registry(empty_store, tmp_path, monkeypatch):
    """Open another registry: with a database, a folder and a key of its own, by its name."""
    opened = []

    def build(name, trusted, files, trust="attested"):
        """Its policy trusts *trusted* alone; version 2 of PROD has *files*."""
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
        monkeypatch.setenv("MLFLOW_EXT_KEY", str(folder / "server.pem"))
        server_key_id.cache_clear()
        shop = GatedShop(f"sqlite:///{folder}/mlflow.db", folder)
        opened.append(shop)
        shop.add_versions(1, PROD)
        shop.client.create_model_version(PROD, files)
        rule = {"alias": "champion", "min_passed": 1, "trust": trust}
        keys = [{"public_key": key.public_key} for key in trusted]
        shop.govern("olga", PROD, stages={"Production": rule}, keys=keys)
        return shop

    yield build
    for shop in opened:
        shop.store._dispose_engine()


@pytest.fixture
def prod(dev, open_registry):
    """Version 2 has the files of dev's version 1; dev's judge and dev's server are trusted."""
    return open_registry("prod", [dev.key, server_key_of(dev)], files_of(dev, DEV, 1))


def files_of(shop, model, version):
    return shop.client.get_model_version(model, str(version)).source


def export(shop, model=DEV, version=1):
    """The bundle as it travels: text, signed with the key of the shop's server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXT_KEY", str(shop.folder / "server.pem"))
        return json.loads(json.dumps(shop.ask("evidence/export", model=model, version=version)))


def server_key_of(shop):
    return load_key(shop.folder / "server.pem")


def take_in(shop, bundle, version=2):
    asked = {"model": PROD, "version": version, "bundle": bundle}
    return shop.ask("evidence/import", "carl", **asked)["ids"]


def why_not(shop, version=2):
    """Promote; return what was found where something was missing."""
    asked = {"model": PROD, "version": version, "to": "Production", "reason": "as in dev"}
    needs = shop.ask("promote", **asked)["decision"]["requirements"]
    return [need["found"] for need in needs if not need["is_met"]]


def refusal_of(shop, bundle, version=2):
    """Import what must be refused; return the words. Nothing of it is written."""
    before = shop.lines()
    with pytest.raises(RefusedError) as error:
        take_in(shop, bundle, version)
    assert shop.lines() == before
    return error.value.found


@on_each_database
def test_what_dev_has_judged_lets_the_same_files_into_production_elsewhere(dev, prod):
    assert why_not(prod) == ["no report"]
    [number] = take_in(prod, export(dev))
    [told] = prod.ask("evidence/list", model=PROD, version=2)["attestations"]
    assert (told["id"], told["signer"], told["trust"]) == (number, dev.key.key_id, "attested")
    assert told["problem"] == ""
    assert why_not(prod) == []
    assert prod.state(PROD) == ({1: "None", 2: "Production"}, {"champion": 2})
    assert prod.breaks() == []
    assert prod.ask("replay")["different"] == ()


def test_the_history_comes_along_in_a_line_of_its_own(dev, prod):
    [number] = take_in(prod, export(dev))
    [line] = prod.lines(Kind.IMPORT)
    assert (line.model, line.version, line.actor) == (PROD, 2, "carl")
    told = line.body["bundle"]["entries"]
    assert [entry["kind"] for entry in told] == ["registration", "evidence", "transition"]
    assert told[-1]["body"]["transition"]["reason"] == "good here"
    [evidence] = prod.lines(Kind.EVIDENCE)
    assert evidence.id == number
    assert evidence.body["imported"] == {"entry": line.id, "seq": line.seq, "hash": line.hash}


def test_from_registry_to_registry_the_first_signature_is_what_counts(dev, prod, open_registry):
    take_in(prod, export(dev))
    trusted = [dev.key, server_key_of(prod)]
    last = open_registry("last", trusted, files_of(prod, PROD, 2))
    take_in(last, export(prod, PROD, 2))
    assert why_not(last) == []
    [line] = last.lines(Kind.IMPORT)
    carried = [entry["kind"] for entry in line.body["bundle"]["entries"]]
    assert carried == ["registration", "import", "evidence"], "dev's story is inside prod's"


def test_a_version_with_other_files_is_refused(dev, prod):
    (prod.folder / "files" / "0" / "MLmodel").write_text("others")
    told = refusal_of(prod, export(dev), version=1)
    assert told.endswith("for version 1 of 'late': the model's files have changed")


def test_files_that_change_after_the_import_are_noticed(dev, open_registry, tmp_path):
    shutil.copytree(files_of(dev, DEV, 1), tmp_path / "copy")
    trusted = [dev.key, server_key_of(dev)]
    prod = open_registry("prod", trusted, str(tmp_path / "copy"))
    take_in(prod, export(dev))
    (tmp_path / "copy" / "MLmodel").write_text("others")
    assert why_not(prod) == [
        "metrics passed, but it does not count: the model's files have changed"
    ]


def tamper_payload(bundle):
    bundle["envelopes"][0]["payload"] = "e30="


def tamper_line(bundle):
    bundle["entries"][0]["actor"] = "somebody else"


def tamper_policy(bundle):
    bundle["policy"] = {"nmae": "x"}


TAMPERED = [
    (tamper_payload, "the signature does not hold"),
    (tamper_line, "line 1 was edited"),
    (tamper_policy, "its policy cannot be read"),
    (lambda bundle: bundle["entries"].clear(), "envelope 1 is not that of a line"),
    (lambda bundle: bundle["envelopes"].clear(), "it holds no evidence about these files"),
    (lambda bundle: bundle.update(model_digest="0" * 64), "it is about other files"),
    (lambda bundle: bundle.update(more=1), "'more' of the bundle"),
    (lambda bundle: bundle.clear(), "'model_digest' of the bundle"),
]


def test_a_bundle_that_was_changed_is_refused_with_the_place(dev, prod):
    for tamper, reason in TAMPERED:
        bundle = export(dev)
        tamper(bundle)
        told = refusal_of(prod, bundle)
        assert told.startswith("the bundle for version 2 of 'late': ")
        assert reason in told


def test_evidence_that_dev_has_withdrawn_is_refused(dev, prod):
    before = export(dev)
    [line] = dev.lines(Kind.EVIDENCE)
    dev.ask("evidence/revoke", id=line.id, reason="wrong data")
    after = export(dev)
    assert "it holds no evidence about these files" in refusal_of(prod, after)
    forged = after | {"envelopes": before["envelopes"]}
    assert "envelope 1 is not that of a line, or was withdrawn" in refusal_of(prod, forged)


def test_evidence_that_is_withdrawn_here_counts_no_more(dev, prod):
    [number] = take_in(prod, export(dev))
    prod.ask("evidence/revoke", id=number, reason="not for us")
    assert why_not(prod) == ["metrics passed, but it does not count: it was revoked"]


def test_imported_evidence_ends_with_the_version_it_was_imported_for(dev, prod):
    take_in(prod, export(dev))
    source = files_of(prod, PROD, 2)
    prod.client.delete_registered_model(PROD)
    prod.client.create_registered_model(PROD)
    for _ in range(2):
        prod.client.create_model_version(PROD, source)
    assert "another version 2, made at another time" in why_not(prod)[0]
    assert prod.ask("replay")["different"] == ()


def test_a_key_that_is_not_listed_here_is_refused(dev, open_registry):
    prod = open_registry("prod", [server_key_of(dev)], files_of(dev, DEV, 1))
    assert f"does not trust key {dev.key.key_id[:12]}…" in refusal_of(prod, export(dev))


def test_a_key_that_is_dropped_after_the_import_counts_no_more(dev, prod):
    take_in(prod, export(dev))
    stranger = load_key(dev.folder / "stranger.pem")
    rule = {"alias": "champion", "min_passed": 1}
    prod.govern(
        "olga", PROD, stages={"Production": rule}, keys=[{"public_key": stranger.public_key}]
    )
    assert "the policy does not trust key" in why_not(prod)[0]


def test_what_dev_recomputed_is_not_recomputed_here(gated, server_key, open_registry):
    gated.add_versions(1)
    key = load_key(server_key)
    envelope = gated.sign(gated.bind(1, trust=Trust.RECOMPUTED), key=key)
    gated.ask("evidence/add", model=DEV, version=1, envelopes=[envelope])
    [there] = gated.ask("evidence/list", model=DEV, version=1)["attestations"]
    assert there["trust"] == "recomputed"

    prod = open_registry("prod", [key], files_of(gated, DEV, 1), trust="recomputed")
    take_in(prod, export(gated))
    assert why_not(prod) == ["metrics passed, but only attested"]


def test_a_failed_gate_travels_too_and_cannot_be_left_out(dev, prod):
    bad = dev.sign(dev.bind(1), Verdict.FAILED, "data")
    dev.ask("evidence/add", model=DEV, version=1, envelopes=[bad])
    bundle = export(dev)
    picked = bundle | {"envelopes": [e for e in bundle["envelopes"] if e != bad]}
    assert "the evidence of line 4 was left out" in refusal_of(prod, picked)
    take_in(prod, bundle)
    assert any("data failed" in found for found in why_not(prod))


def test_lines_about_a_version_that_had_the_number_before_stay_at_home(dev):
    dev.client.transition_model_version_stage(DEV, "1", "Archived")
    dev.client.delete_registered_model(DEV)
    dev.add_versions(1)
    dev.judge(1)
    assert [entry["kind"] for entry in export(dev)["entries"]] == ["registration", "evidence"]


def test_what_cannot_be_read_is_not_exported(dev):
    dev.client.create_model_version(DEV, str(dev.folder / "nowhere"))
    with pytest.raises(RefusedError, match=r"the files of version 2 of 'delay' at .*nowhere"):
        export(dev, version=2)
