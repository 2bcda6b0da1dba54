"""What an import must not carry: refused evidence by another door, and stories nobody told."""

import json
import shutil
from dataclasses import asdict, replace

import pytest
from gated_shop import MODEL, GatedShop, on_each_database

from mlflow_ext.errors import LedgerError, RefusedError
from mlflow_ext.records import Entry, Kind, Verdict
from mlflow_ext.registry.bundle import seal_bundle
from mlflow_ext.registry.chain import entry_hash
from mlflow_ext.registry.gated.governance import server_key_id
from mlflow_ext.registry.signing import load_key

THERE = "late"
RULE = {"alias": "champion", "min_passed": 1}


def files_of(shop, version=1, model=MODEL):
    return shop.client.get_model_version(model, str(version)).source


def export(shop, model=MODEL, version=1):
    """The bundle as it travels: text, signed with the key of the shop's server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXT_KEY", str(shop.folder / "server.pem"))
        return json.loads(json.dumps(shop.ask("evidence/export", model=model, version=version)))


def server_key_of(shop):
    return load_key(shop.folder / "server.pem")


def take_in(shop, bundle, version=1, model=MODEL):
    return shop.ask("evidence/import", model=model, version=version, bundle=bundle)["ids"]


def refusal_of(shop, bundle, version=1, model=MODEL):
    """Import what must be refused; return the error. Nothing of it is written."""
    before = shop.lines()
    with pytest.raises(RefusedError) as error:
        take_in(shop, bundle, version, model)
    assert shop.lines() == before
    return error.value


def is_allowed(shop, version=1, model=MODEL):
    asked = {"model": model, "version": version, "to": "Production", "dry_run": True}
    return shop.ask("promote", **asked)["decision"]["is_allowed"]


@pytest.fixture
def dev(gated):
    """Version 1 passed one gate."""
    gated.add_versions(1)
    gated.good = gated.judge(1)
    return gated


@pytest.fixture
def prod(dev, empty_store, tmp_path, monkeypatch):
    """Another registry, with a key of its own; its version 1 has the files of dev's."""
    folder = tmp_path / "prod"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    shop = GatedShop(f"sqlite:///{folder}/mlflow.db", folder)
    shop.client.create_registered_model(THERE)
    shop.client.create_model_version(THERE, files_of(dev))
    monkeypatch.setenv("MLFLOW_EXT_KEY", str(folder / "server.pem"))
    server_key_id.cache_clear()
    yield shop
    shop.store._dispose_engine()


@pytest.fixture
def bundle(dev):
    """What dev exports."""
    return export(dev)


@on_each_database
def test_what_this_registry_said_counts_for_no_other_version(dev):
    """Version 1 passed, failed later, and is brought back as version 2."""
    bundle = export(dev)
    dev.judge(1, verdict=Verdict.FAILED)
    dev.client.create_model_version(MODEL, files_of(dev))
    told = refusal_of(dev, bundle, version=2)
    assert f"line {dev.good.seq} of this ledger, about version 1 of 'delay'" in told.found
    assert told.fix == "mlflow-ext gate run delay 2"
    assert not is_allowed(dev, 2)


def test_what_was_said_about_a_version_does_not_come_back_for_its_successor(dev):
    bundle = export(dev)
    source = files_of(dev)
    dev.client.delete_registered_model(MODEL)
    dev.client.create_registered_model(MODEL)
    dev.client.create_model_version(MODEL, source)
    assert f"line {dev.good.seq} of this ledger" in refusal_of(dev, bundle).found
    assert not is_allowed(dev)


def test_a_bundle_that_comes_home_is_refused(dev, bundle, prod):
    take_in(prod, bundle, model=THERE)
    home = export(prod, THERE)
    told = refusal_of(dev, home)
    assert f"line {dev.good.seq} of this ledger" in told.found


def test_the_same_bundle_serves_every_version_with_these_files(bundle, prod):
    prod.client.create_model_version(THERE, files_of(prod, 1, THERE))
    take_in(prod, bundle, 1, THERE)
    take_in(prod, bundle, 2, THERE)
    assert [is_allowed(prod, version, THERE) for version in (1, 2)] == [True, True]


@pytest.fixture
def failed(bundle, prod):
    """Prod itself has judged a copy of these files, version 2, and a gate failed."""
    prod.client.create_model_version(THERE, files_of(prod, 1, THERE))
    envelope = prod.sign(prod.bind(2, THERE), Verdict.FAILED, "data", created_ms=5_000)
    [number] = prod.ask("evidence/add", model=THERE, version=2, envelopes=[envelope])["ids"]
    return number


def test_a_gate_that_failed_here_on_the_same_files_counts_against_an_import(bundle, prod, failed):
    told = refusal_of(prod, bundle, 1, THERE)
    assert f"gate 'data' failed here on the same files (evidence {failed})" in told.found
    assert told.fix == "mlflow-ext gate run late 1"


def test_a_failure_that_was_withdrawn_counts_no_more(bundle, prod, failed):
    prod.ask("evidence/revoke", id=failed, reason="wrong data")
    take_in(prod, bundle, 1, THERE)
    assert is_allowed(prod, 1, THERE)


@pytest.mark.parametrize(("judged_ms", "is_newer"), [(5_000, False), (5_001, True)])
def test_a_newer_pass_of_the_same_gate_outweighs_a_failure(dev, prod, failed, judged_ms, is_newer):
    good = dev.sign(dev.bind(1), gate="data", created_ms=judged_ms)
    dev.ask("evidence/add", model=MODEL, version=1, envelopes=[good])
    if is_newer:
        take_in(prod, export(dev), 1, THERE)
    else:
        assert "gate 'data' failed here" in refusal_of(prod, export(dev), 1, THERE).found


def test_a_failure_under_a_key_that_the_policy_does_not_trust_stops_nobody(bundle, dev, prod):
    """Or whoever registers the same files somewhere could keep a model out."""
    prod.add_versions(0, "mine")
    prod.client.create_model_version("mine", files_of(prod, 1, THERE))
    stranger = load_key(prod.folder / "stranger.pem")
    bad = prod.sign(prod.bind(1, "mine"), Verdict.FAILED, key=stranger)
    prod.ask("evidence/add", model="mine", version=1, envelopes=[bad])
    assert "failed here" in refusal_of(prod, bundle, 1, THERE).found
    keys = [{"public_key": key.public_key} for key in (dev.key, server_key_of(dev))]
    prod.govern(model=THERE, stages={"Production": RULE}, keys=keys)
    take_in(prod, bundle, 1, THERE)


def test_a_failure_that_this_server_found_itself_counts_whatever_keys_are_listed(bundle, dev, prod):
    keys = [{"public_key": key.public_key} for key in (dev.key, server_key_of(dev))]
    prod.govern(model=THERE, stages={"Production": RULE}, keys=keys)
    prod.client.create_model_version(THERE, files_of(prod, 1, THERE))
    binding = prod.bind(2, THERE, trust="recomputed")
    bad = prod.sign(binding, Verdict.FAILED, key=server_key_of(prod))
    prod.ask("evidence/add", model=THERE, version=2, envelopes=[bad])
    assert "failed here" in refusal_of(prod, bundle, 1, THERE).found


def test_a_failure_that_was_edited_away_stops_the_import(bundle, prod, failed):
    edit = "UPDATE mlflow_ext_ledger SET body = replace(body, 'sig', 'gis') WHERE id = :id"
    assert prod.execute(edit, id=failed) == 1
    with pytest.raises(LedgerError, match=r"of the ledger .* was edited"):
        take_in(prod, bundle, 1, THERE)


def leave_out(bundle, line):
    """Take a line and its envelope out of a bundle."""
    bundle["entries"] = [entry for entry in bundle["entries"] if entry["id"] != line.id]
    bundle["envelopes"] = [e for e in bundle["envelopes"] if e != line.body["envelope"]]


def promote_the_boss(bundle, _):
    """Tell the story anew, by one line that somebody else has signed off; its hash fits."""
    [told] = [entry for entry in bundle["entries"] if entry["kind"] == Kind.EVIDENCE][:1]
    line = Entry(**told | {"kind": Kind.EVIDENCE, "actor": "ceo", "is_claimed": False})
    bundle["entries"] = [asdict(replace(line, hash=entry_hash(line)))]
    bundle["envelopes"] = [told["body"]["envelope"]]


def strip(bundle, _):
    del bundle["seal"]


FORGERIES = {
    "a failure left out": (leave_out, "it was changed after it was signed"),
    "a story made up": (promote_the_boss, "it was changed after it was signed"),
    "no signature": (strip, "it is not signed"),
}


@pytest.fixture
def mixed(dev):
    """A bundle with a passed and a failed gate, and the failed one's line."""
    bad = dev.judge(1, gate="fairness", verdict=Verdict.FAILED)
    return export(dev), bad


@pytest.mark.parametrize("what", FORGERIES)
def test_a_bundle_that_dev_did_not_sign_like_this_is_refused(mixed, prod, what):
    bundle, bad = mixed
    forge, reason = FORGERIES[what]
    forge(bundle, bad)
    told = refusal_of(prod, bundle, 1, THERE)
    assert reason in told.found
    assert told.fix == "mlflow-ext evidence export MODEL VERSION"


def test_a_forger_with_a_key_of_his_own_is_refused_where_the_policy_lists_keys(dev, mixed, prod):
    bundle, bad = mixed
    leave_out(bundle, bad)
    forged = seal_bundle(bundle, load_key(prod.folder / "forger.pem"))
    keys = [{"public_key": key.public_key} for key in (dev.key, server_key_of(dev))]
    prod.govern(model=THERE, stages={"Production": RULE}, keys=keys)
    told = refusal_of(prod, forged, 1, THERE)
    assert "it is signed, but the policy does not trust key" in told.found
    assert "mlflow-ext evidence key" in told.fix
    take_in(prod, export(dev), 1, THERE)
    assert not is_allowed(prod, 1, THERE), "the failed gate came along"


@pytest.mark.parametrize(("field", "told"), [("revoked", "was revoked"), ("expires", "expired")])
def test_the_signature_of_a_key_that_no_longer_holds_is_refused(dev, bundle, prod, field, told):
    server = {"public_key": server_key_of(dev).public_key, field: "2020-01-01"}
    keys = [{"public_key": dev.key.public_key}, server]
    prod.govern(model=THERE, stages={"Production": RULE}, keys=keys)
    refused = refusal_of(prod, bundle, 1, THERE)
    assert f"it is signed, but its key {told} on 2020-01-01" in refused.found


def test_the_registrys_own_signature_needs_no_listing(dev, mixed, prod):
    bundle, _ = mixed
    own = seal_bundle(bundle, server_key_of(prod))
    prod.govern(model=THERE, stages={"Production": RULE}, keys=[{"public_key": dev.key.public_key}])
    assert len(take_in(prod, own, 1, THERE)) == 2
