"""Signatures under evidence: Ed25519 over a DSSE envelope, which standard tools read.

Each signature carries the signer's public key. That proves nothing about who signed, only that the
content is what was signed; whose key it is, a policy says.

Source: DSSE 1.0, https://github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import KeyFileError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
KEY_VARIABLE = "MLFLOW_EXT_KEY"
"""Environment variable: path of the private key."""
KEY_FILE = Path("~/.mlflow_ext/key.pem")
PUBLIC_KEY_BYTES = 32
SIGNED = {"payloadType", "payload", "signatures"}
SIGNATURE = {"keyid", "sig", "publickey"}


@dataclass(frozen=True)
class SigningKey:
    """A key pair that signs evidence."""

    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> str:
        """The 32 raw bytes of the public key in base64, as a policy lists it."""
        return _encode(self.private.public_key().public_bytes_raw())

    @property
    def key_id(self) -> str:
        """As `key_id` of the public key."""
        return key_id(self.public_key)

    def sign(self, payload: bytes) -> dict[str, Any]:
        """Return a DSSE envelope around *payload*, which must be a JSON object in UTF-8."""
        signature = {
            "keyid": self.key_id,
            "sig": _encode(self.private.sign(_preauthentication(payload))),
            "publickey": self.public_key,
        }
        return {
            "payloadType": PAYLOAD_TYPE,
            "payload": _encode(payload),
            "signatures": [signature],
        }


def key_id(public_key: str) -> str:
    """Return the id of a public key: SHA-256 of its raw bytes, hex.

    Args:
        public_key: The 32 raw bytes in base64.

    Raises:
        SignatureError: It is no such key.

    >>> key_id("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")[:16]
    '21fe31dfa154a261'
    """
    return hashlib.sha256(_raw(public_key)).hexdigest()


def load_key(file: Path | None = None) -> SigningKey:
    """Read the private key of whoever runs this; the first call makes one.

    Args:
        file: PEM file; None means ``MLFLOW_EXT_KEY``, else ``~/.mlflow_ext/key.pem``.

    Raises:
        KeyFileError: The file cannot be read or made, others can read it, or it is no such key.
    """
    path = (file or Path(os.environ.get(KEY_VARIABLE) or KEY_FILE)).expanduser()
    try:
        if not path.exists():
            _make_key(path)
        text = _read_private(path)
    except OSError as error:
        fix = f"set {KEY_VARIABLE} to a file that can be read, or made"
        raise KeyFileError(path, error.strerror or str(error), fix) from None
    return SigningKey(_parse(path, text))


def seal(key: SigningKey, statement: dict[str, Any]) -> dict[str, Any]:
    """Sign *statement*, any JSON object, and return its envelope.

    Numbers that JSON does not know become the texts ``NaN`` and ``Infinity``.
    """
    from pydantic_core import to_json

    return key.sign(to_json(statement, inf_nan_mode="strings"))


def signer_of(envelope: dict[str, Any]) -> str:
    """Return the public key under which *envelope* claims to be signed; `open_envelope` checks it.

    Raises:
        SignatureError: It names no key, or another one than its key id says.
    """
    signature = _signature(envelope)
    public_key = signature.get("publickey")
    if not isinstance(public_key, str):
        raise SignatureError("the signature names no public key")
    if signature.get("keyid") != key_id(public_key):
        raise SignatureError("the signature's key id is not that of its public key")
    return public_key


def open_envelope(envelope: dict[str, Any], public_key: str) -> dict[str, Any]:
    """Verify the signature of *envelope* and return the statement inside.

    Args:
        envelope: As `seal` returned it.
        public_key: The key that must have signed it, 32 raw bytes in base64.

    Raises:
        SignatureError: It is no such envelope, or the signature does not hold.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signature = _decode("sig", _signature(envelope).get("sig"))
    payload = _decode("payload", envelope.get("payload"))
    try:
        Ed25519PublicKey.from_public_bytes(_raw(public_key)).verify(
            signature, _preauthentication(payload)
        )
    except InvalidSignature:
        raise SignatureError("the signature does not hold") from None
    return _parse_payload(payload)


def _signature(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the only signature: with several, it would be open which one a policy judges."""
    if not isinstance(envelope, dict) or envelope.get("payloadType") != PAYLOAD_TYPE:
        raise SignatureError(f"no DSSE envelope of {PAYLOAD_TYPE}")
    match envelope.get("signatures"):
        case [dict() as signature]:
            if foreign := {*envelope} - SIGNED | {*signature} - SIGNATURE:
                raise SignatureError(f"{min(foreign)!r} in the envelope, which nobody signed")
            return signature
    raise SignatureError("the envelope does not hold exactly one signature")


def _preauthentication(payload: bytes) -> bytes:
    """Return the bytes that DSSE signs (PAE)."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _parse_payload(payload: bytes) -> dict[str, Any]:
    from pydantic_core import from_json

    try:
        statement = from_json(payload, allow_inf_nan=False)
    except ValueError:
        raise SignatureError("the payload is not JSON") from None
    if not isinstance(statement, dict):
        raise SignatureError("the payload is no JSON object")
    return statement


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(name: str, text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise SignatureError(f"'{name}' is not base64") from None
    if _encode(data) != text:
        raise SignatureError(f"'{name}' is not base64 in its canonical form")
    return data


def _raw(public_key: str) -> bytes:
    raw = _decode("public key", public_key)
    if len(raw) != PUBLIC_KEY_BYTES:
        raise SignatureError(f"the public key has {len(raw)} bytes, not {PUBLIC_KEY_BYTES}")
    return raw


def _make_key(path: Path) -> None:
    """Write a new key; of several processes that do so at once, one wins and all read its key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    text = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Readable by its owner alone; linked in place when whole, which never replaces another's.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".key-") as draft:
        draft.write(text)
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, path)


def _read_private(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise KeyFileError(path, f"others can use it (mode {mode:04o})", f"chmod 600 {path}")
        return file.read()


def _parse(path: Path, text: bytes) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(path, f"no usable key: {error}".splitlines()[0]) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(path, f"a key of another kind ({type(key).__name__})")
    return key
