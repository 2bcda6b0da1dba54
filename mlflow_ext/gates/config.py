"""Identity and time of a report: what every gate stamps on what it says."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any


def config_digest(config: Any) -> str:
    """Return the SHA-256 (64 hex digits) of *config* as canonical JSON; key order does not count.

    >>> config_digest({"a": 1, "b": 2}) == config_digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
