"""The form in which every engine hands over what it found: that of Great Expectations, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlflow_ext.gates.suites.engines.interface import Document

Outcome = dict[str, Any]
"""One entry of ``results``: what was asked, whether it holds, and what was found."""

QUIET = {"raised_exception": False, "exception_traceback": None, "exception_message": None}


def outcome_of(expectation: dict[str, Any], success: bool, result: dict[str, Any]) -> Outcome:
    """Return the outcome of an expectation that was evaluated."""
    return {
        "success": success,
        "expectation_config": expectation,
        "result": result,
        "meta": {},
        "exception_info": dict(QUIET),
    }


def result_of(document: Document, outcomes: Sequence[Outcome], meta: dict[str, Any]) -> Outcome:
    """Return the validation result of a whole suite, with its counts.

    Args:
        document: The suite.
        outcomes: One for each of its expectations, in their order.
        meta: Which engine ran, and what else belongs to the record.
    """
    held = sum(outcome["success"] for outcome in outcomes)
    statistics = {
        "evaluated_expectations": len(outcomes),
        "successful_expectations": held,
        "unsuccessful_expectations": len(outcomes) - held,
        "success_percent": held / len(outcomes) * 100 if outcomes else None,
    }
    return {
        "success": held == len(outcomes),
        "results": list(outcomes),
        "suite_name": document["name"],
        "suite_parameters": {},
        "statistics": statistics,
        "meta": meta,
        "id": None,
    }


def raised_text(outcome: Outcome) -> str | None:
    """Return the text of the exception that an expectation ended in, or None.

    >>> raised_text({"exception_info": {"raised_exception": True, "exception_message": "no"}})
    'no'
    """
    info = outcome.get("exception_info") or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    raised = [entry for entry in entries if entry["raised_exception"]]
    return str(raised[0]["exception_message"]) if raised else None


def plain_json(document: Any) -> Any:
    """Return JSON values only: NumPy scalars become numbers, times ISO texts, NaN and inf null.

    >>> plain_json({"a": float("nan"), "b": (1, 2)})
    {'a': None, 'b': [1, 2]}
    """
    return json.loads(json.dumps(document, default=_plain), parse_constant=lambda _: None)


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else str(value)
