"""Addresses of stores, in words that anybody may read."""

from __future__ import annotations

import re


def hide_password(text: str) -> str:
    """Replace the passwords in the addresses that *text* holds.

    >>> hide_password("no answer from http://me:secret@host:5000/api")
    'no answer from http://me:***@host:5000/api'
    """
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
