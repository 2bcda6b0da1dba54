"""Signed envelopes: what holds, what does not, and that others can read them."""

import base64
import copy
import multiprocessing
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from mlflow_ext.errors import KeyFileError, SignatureError
from mlflow_ext.registry.signing import (
    SigningKey,
    key_id,
    load_key,
    open_envelope,
    seal,
    signer_of,
)

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "predicate": {"größe": 0.7}}
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_what_was_sealed_comes_back(statement):
    envelope = seal(KEY, statement)
    assert signer_of(envelope) == KEY.public_key
    assert open_envelope(envelope, KEY.public_key) == statement


@given(st.data())
def test_no_changed_byte_of_the_payload_goes_unnoticed(data):
    envelope = seal(KEY, STATEMENT)
    payload = bytearray(base64.b64decode(envelope["payload"]))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    envelope["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(SignatureError, match="does not hold"):
        open_envelope(envelope, KEY.public_key)


@given(st.data())
def test_no_changed_byte_of_the_signature_goes_unnoticed(data):
    envelope = seal(KEY, STATEMENT)
    (signature,) = envelope["signatures"]
    raw = bytearray(base64.b64decode(signature["sig"]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    signature["sig"] = base64.b64encode(raw).decode()
    with pytest.raises(SignatureError, match="does not hold"):
        open_envelope(envelope, KEY.public_key)


def test_another_key_does_not_open_it():
    with pytest.raises(SignatureError, match="does not hold"):
        open_envelope(seal(KEY, STATEMENT), OTHER.public_key)


def test_a_signature_put_under_another_name_is_noticed():
    envelope = seal(KEY, STATEMENT)
    envelope["signatures"][0]["publickey"] = OTHER.public_key
    with pytest.raises(SignatureError, match="key id is not that of its public key"):
        signer_of(envelope)
    envelope["signatures"][0]["keyid"] = OTHER.key_id
    with pytest.raises(SignatureError, match="does not hold"):
        open_envelope(envelope, signer_of(envelope))


def test_numbers_that_json_lacks_are_texts_so_that_every_reader_can_parse_it():
    opened = open_envelope(seal(KEY, {"a": float("nan"), "b": [float("-inf")]}), KEY.public_key)
    assert opened == {"a": "NaN", "b": ["-Infinity"]}


def sealed(**changes):
    return seal(KEY, STATEMENT) | changes


def signature(**changes):
    (one,) = seal(KEY, STATEMENT)["signatures"]
    return sealed(signatures=[one | changes])


@pytest.mark.parametrize(
    ("envelope", "problem"),
    [
        ([], "no DSSE envelope"),
        ({}, "no DSSE envelope"),
        (sealed(payloadType="text/plain"), "no DSSE envelope"),
        (sealed(signatures=[]), "not hold exactly one signature"),
        (sealed(signatures=[{}, {}]), "not hold exactly one signature"),
        (sealed(signatures="x"), "not hold exactly one signature"),
        (signature(publickey=None), "names no public key"),
        (signature(publickey="short"), "'public key' is not base64"),
        (signature(publickey="QUJD"), "the public key has 3 bytes"),
        (signature(sig=None), "'sig' is not base64"),
        (signature(sig="a b"), "'sig' is not base64"),
        (signature(sig="ä"), "'sig' is not base64"),
        (signature(sig="QUJE"), "the signature does not hold"),
        (sealed(payload=None), "'payload' is not base64"),
        (sealed(payload="QUI"), "'payload' is not base64"),
        (sealed(payload="QUJ="), "canonical form"),
        (KEY.sign(b"no json"), "the payload is not JSON"),
        (KEY.sign(b"[1]"), "the payload is no JSON object"),
        (KEY.sign(b'{"a": NaN}'), "the payload is not JSON"),
        (KEY.sign(b"[" * 100_000), "the payload is not JSON"),
        (KEY.sign(b"\xff"), "the payload is not JSON"),
    ],
)
def test_whatever_is_no_envelope_is_told_as_such(envelope, problem):
    with pytest.raises(SignatureError, match=problem):
        open_envelope(envelope, signer_of(envelope))


def as_sslib(key):
    return SSlibKey.from_crypto(
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key)), keyid=key.key_id
    )


def test_securesystemslib_reads_and_verifies_our_envelope():
    read = Envelope.from_dict(copy.deepcopy(seal(KEY, STATEMENT)))
    assert read.verify([as_sslib(KEY)], threshold=1).keys() == {KEY.key_id}
    assert open_envelope(read.to_dict(), KEY.public_key) == STATEMENT
    with pytest.raises(VerificationError):
        read.verify([as_sslib(OTHER)], threshold=1)


def test_a_key_is_made_on_first_use_and_stays(tmp_path, monkeypatch):
    file = tmp_path / "new" / "key.pem"
    monkeypatch.setenv("MLFLOW_EXT_KEY", str(file))
    first = load_key()
    assert load_key().public_key == first.public_key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_without_a_setting_the_key_lies_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_EXT_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = load_key()
    assert load_key(tmp_path / ".mlflow_ext" / "key.pem").key_id == made.key_id


def key_id_of(file):
    return load_key(file).key_id


def test_processes_that_make_the_key_at_once_all_get_the_same(tmp_path):
    context = multiprocessing.get_context("fork")
    with context.Pool(8) as pool:
        ids = pool.map(key_id_of, [tmp_path / "key.pem"] * 32, chunksize=1)
    assert len(set(ids)) == 1


def pem(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (pem(KEY.private), 0o644, "others can use it .mode 0644"),
        (pem(KEY.private), 0o620, "others can use it"),
        (b"", 0o600, "no usable key"),
        (b"hello", 0o600, "no usable key"),
        (pem(KEY.private, BestAvailableEncryption(b"x")), 0o600, "no usable key"),
        (pem(generate_private_key(SECP256R1())), 0o600, "a key of another kind"),
    ],
)
def test_a_key_file_that_cannot_be_relied_on_is_refused(tmp_path, content, mode, problem):
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(KeyFileError, match=problem):
        load_key(file)


def test_a_key_file_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="File exists") as told:
        load_key(tmp_path / "file" / "key.pem")
    assert "MLFLOW_EXT_KEY" in told.value.fix


def test_the_private_key_does_not_show():
    assert "private" not in repr(KEY)
    assert key_id(KEY.public_key) == KEY.key_id
