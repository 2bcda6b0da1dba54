"""How commands show gate reports: one line per gate, one line per check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_ext.records import GateReport


def describe_reports(reports: Sequence[GateReport]) -> dict[str, Any]:
    """Return ``gates`` and ``checks`` as JSON values."""
    return {
        "gates": [
            {
                "gate": report.gate,
                "verdict": str(report.verdict),
                "config_digest": report.config_digest,
            }
            for report in reports
        ],
        "checks": [
            {
                "gate": report.gate,
                "verdict": str(check.verdict),
                "check": check.name,
                "slice": check.slice,
                "observed": check.observed,
                "interval": list(check.interval) if check.interval else None,
                "expected": check.expected,
                "rows_needed": check.rows_needed,
                "why": check.reason,
            }
            for report in reports
            for check in report.checks
        ],
    }
