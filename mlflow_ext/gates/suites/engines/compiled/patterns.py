r"""Regular expressions that mean the same to pandas and to Polars.

pandas matches text columns with RE2 (Python's ``re`` where RE2 cannot), Polars with Rust's engine.
The three agree on literals, classes, groups, alternatives, anchors and counts; ``\d`` is ASCII to
RE2 and is written out. Whatever goes beyond is left to Great Expectations.
"""

from __future__ import annotations

import re

_LITERAL = r"[^\\\[\](){}*+?|.^$]"
_ESCAPED = r"\\[-.^$*+?()\[\]{}|\\/ d]"
_FIRST, _FURTHER = r"[^\\\[\]^&~-]", r"(?!--|&&|~~)[^\\\[\]]"
_CLASS = rf"\[\^?(?:{_FIRST}|{_ESCAPED})(?:{_FURTHER}|{_ESCAPED})*\]"
_COUNT = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??"
_ATOM = rf"(?:{_CLASS}|{_ESCAPED}|{_LITERAL}|\.)(?:{_COUNT})?"
SHARED = re.compile(rf"(?:{_ATOM}|\((?:\?:)?|\)(?:{_COUNT})?|[|^$])*")
_TOKENS = re.compile(rf"{_CLASS}|{_ESCAPED}")


def shared_pattern(regex: str) -> str | None:
    r"""Return *regex* as Polars shall read it, or None when it may mean something else there.

    >>> shared_pattern(r"^\d{4}-[\d.]+$")
    '^[0-9]{4}-[0-9.]+$'
    >>> shared_pattern(r"(?i)a") is None
    True
    """
    if not SHARED.fullmatch(regex) or not _is_valid(regex):
        return None
    return _TOKENS.sub(lambda token: _write_out(token[0]), regex)


def _write_out(token: str) -> str:
    digits = "0-9" if token.startswith("[") else "[0-9]"
    pairs = re.findall(r"\\.|[^\\]", token, flags=re.DOTALL)
    return "".join(digits if pair == r"\d" else pair for pair in pairs)


def _is_valid(regex: str) -> bool:
    try:
        re.compile(regex)
    except (re.error, OverflowError):
        return False
    return True
