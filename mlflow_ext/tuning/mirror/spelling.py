"""Names and texts as MLflow and its databases take them."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

KEY_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 8000


@lru_cache(maxsize=1024)  # a study says the same names for each trial
def spell_key(name: str) -> str:
    """Return *name* as MLflow takes it; a changed one ends in a digest, so that two stay two.

    >>> spell_key("max_depth"), spell_key("layers[0]")
    ('max_depth', 'layers_0_-caf57d8a')
    """
    key = re.sub(r"[^\w.\- /]", "_", name)
    if posixpath.normpath(key) != key or key.startswith((".", "/")):
        key = re.sub("[./]", "_", key)
    if key == name and 0 < len(key) <= KEY_LENGTH:
        return key
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{key[: KEY_LENGTH - 9]}-{digest[:8]}"


def spell_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return *tags* with names and texts as MLflow takes them."""
    return {spell_key(key): spell_text(text, TAG_LENGTH) for key, text in tags.items()}


def spell_text(value: Any, length: int) -> str:
    r"""Return *value* as text of at most *length* characters that every database takes.

    >>> spell_text("a\0b\ud800", 20), spell_text("abcdef", 4)
    ('a\\x00b\\ud800', 'abc…')
    """
    text = str(value).replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= length else text[: length - 1] + "…"
