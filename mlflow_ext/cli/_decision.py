"""How a command shows what a policy decided: every rule, what mends it, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from mlflow_ext.cli._output import emit

RULE = ("name", "is_met", "found", "fix")


def emit_decision(answer: Mapping[str, Any]) -> NoReturn:
    """Write a decision as a document and end the command with its yes or no.

    Args:
        answer: ``decision`` and ``transition`` as JSON values, with the name of the ``policy`` and
            the ``problems`` of the evidence where they are known.
    """
    decision = answer["decision"]
    document = {
        "model": decision["model"],
        "version": decision["version"],
        "to_stage": decision["to_stage"],
        "is_allowed": decision["is_allowed"],
        "policy": answer.get("policy"),
        "requirements": [{key: rule[key] for key in RULE} for rule in decision["requirements"]],
        "transition": answer["transition"],
        "problems": answer.get("problems", []),
    }
    emit(document, is_yes=decision["is_allowed"])
