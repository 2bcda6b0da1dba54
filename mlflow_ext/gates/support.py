"""Slices and groups with too few rows to be judged: told, and never passed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlflow_ext.records import Check, Severity, Verdict

NAMED = 5  # more would hide what matters; the attached table has all


def check_support(
    by: str, counts: Mapping[str, int], minimum_rows: int, severity: Severity
) -> Iterator[Check]:
    """Say which parts of a table are too small to be judged.

    Args:
        by: What the rows are grouped by, in words.
        counts: Part -> its rows.
        minimum_rows: Rows that a part needs.
        severity: Whether that keeps the gate from passing.

    Yields:
        One check about the smallest part, which names others; nothing when all are large
        enough. ``rows_needed`` are further rows *of that part*.
    """
    small = sorted((rows, part) for part, rows in counts.items() if rows < minimum_rows)
    if not small:
        return
    rows, part = small[0]
    named = ", ".join(f"{part} ({rows})" for rows, part in small[:NAMED])
    more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
    yield Check(
        name="support",
        verdict=Verdict.INCONCLUSIVE,
        expected=f">= {minimum_rows} rows",
        observed=int(rows),
        rows=int(rows),
        rows_needed=int(minimum_rows - rows),
        slice=part,
        severity=severity,
        reason=f"{len(small)} of {len(counts)} by {by} have too few rows: {named}{more}",
    )
