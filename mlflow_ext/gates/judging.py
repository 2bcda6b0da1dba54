"""Put a version before its judges: one report each, whatever happens inside."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_ext.errors import MlflowExtError
from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.config import config_digest
from mlflow_ext.gates.interface import Gate
from mlflow_ext.records import Check, GateReport, Verdict


def judge_candidate(gates: Mapping[str, Gate], candidate: Candidate) -> tuple[GateReport, ...]:
    """Have a version judged.

    Args:
        gates: By name, in order.
        candidate: The version.

    Returns:
        One report per gate. A gate that reaches no verdict is inconclusive, and says why; the
        others are not kept from theirs.
    """
    return tuple(_report(name, gate, candidate) for name, gate in gates.items())


def _report(name: str, gate: Gate, candidate: Candidate) -> GateReport:
    subject = candidate.subject
    return GateReport(
        gate=name,
        subject=subject.uri,
        checks=_judge(gate, candidate),
        fingerprints=subject.fingerprints,
        config_digest=config_digest(gate.configuration(candidate)),
        created_ms=subject.created_ms,
    )


def _judge(gate: Gate, candidate: Candidate) -> tuple[Check, ...]:
    """Collect the checks; what was compared before a gate gave up is kept."""
    found: list[Check] = []
    try:
        found.extend(gate.judge(candidate))
    except MlflowExtError as error:
        found.append(_no_verdict(str(error)))
    except Exception as error:  # the code of a gate or of a model may be anybody's
        found.append(_no_verdict(f"{type(error).__name__}: {error}"))
    return tuple(found) or (_no_verdict("the gate compared nothing"),)


def _no_verdict(reason: str) -> Check:
    return Check(name="verdict", verdict=Verdict.INCONCLUSIVE, expected="a verdict", reason=reason)
