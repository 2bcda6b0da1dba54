"""Do the gate reports about a version meet the rules of a stage? Pure.

A report counts unless it has a problem. A rule is met by a passed report that qualifies: trusted
enough, of the right configuration, young enough, high enough. A failed one that is as new as the
newest of these stands against it, however little it is trusted. So another passed report never
turns yes into no, another failed one never no into yes, and the rest changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlflow_ext.records import Attestation, Requirement, Trust, Verdict
from mlflow_ext.registry.rules import GateRule, StagePolicy, milliseconds


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What the reports of one gate come to under one rule."""

    found: str
    is_met: bool = False
    is_failed: bool = False


def judge_gates(
    stage: StagePolicy, attestations: Iterable[Attestation], now_ms: int, fix: str
) -> Iterator[Requirement]:
    """Apply every rule about gates that *stage* has.

    Args:
        stage: The stage to be entered.
        attestations: What is known about the version, in any order.
        now_ms: The moment of the decision, in milliseconds since the epoch.
        fix: The command that runs the gates.
    """
    about: dict[str, list[Attestation]] = {}
    for attestation in sorted(attestations, key=lambda a: (a.gate, a.created_ms)):
        about.setdefault(attestation.gate, []).append(attestation)
    for rule in stage.gates:
        outcome = _judge(rule, about.get(rule.gate, []), now_ms)
        yield _requirement(_describe(rule), outcome.found, outcome.is_met, fix)
    if stage.min_passed:
        anyone = GateRule(gate="any", trust=stage.trust)
        outcomes = {gate: _judge(anyone, known, now_ms) for gate, known in about.items()}
        yield from _judge_together(stage, outcomes, fix)


def _judge_together(
    stage: StagePolicy, outcomes: dict[str, _Outcome], fix: str
) -> Iterator[Requirement]:
    """Ask for enough passed gates, whichever, and for no failed one."""
    least = stage.min_passed
    passed = sum(outcome.is_met for outcome in outcomes.values())
    name = f"at least {least} passed gate{'s' if least > 1 else ''}{_terms(stage.trust)}"
    yield _requirement(name, _list(outcomes) or "no report", passed >= least, fix)
    failed = {gate: outcome for gate, outcome in outcomes.items() if outcome.is_failed}
    yield _requirement("no failed gate", _list(failed) or "none", not failed, fix)


def _judge(rule: GateRule, about: list[Attestation], now_ms: int) -> _Outcome:
    """Weigh the attestations of one gate, oldest first."""
    latest = about[::-1]
    good = next((a for a in latest if not _shortfall(rule, a, now_ms)), None)
    bad = next((a for a in latest if a.verdict is Verdict.FAILED and not a.problem), None)
    if bad and not (good and bad.created_ms < good.created_ms):
        return _Outcome(found=_shortfall(rule, bad, now_ms), is_failed=True)
    if good:
        return _Outcome(found=f"passed ({good.trust})", is_met=True)
    return _Outcome(found=_shortfall(rule, latest[0], now_ms) if latest else "no report")


def _shortfall(rule: GateRule, attestation: Attestation, now_ms: int) -> str:
    """Say why an attestation does not meet *rule*; empty when it does."""
    if attestation.problem:
        return f"{attestation.verdict}, but it does not count: {attestation.problem}"
    if attestation.verdict is not Verdict.PASSED:
        return f"{attestation.verdict}: {'; '.join(attestation.reasons) or 'no check'}"
    return next((f"passed, but {what}" for what in _lacks(rule, attestation, now_ms)), "")


def _lacks(rule: GateRule, passed: Attestation, now_ms: int) -> Iterator[str]:
    if not passed.trust.reaches(rule.trust):
        yield f"only {passed.trust}"
    if rule.config_digest not in (None, passed.config_digest):
        yield f"with configuration {passed.config_digest}"
    if rule.max_age and now_ms - passed.created_ms > milliseconds(rule.max_age):
        yield f"more than {rule.max_age} ago"
    for check, least in rule.minimum.items():
        value = (passed.observed or {}).get(check)
        if value is None or not value >= least:  # NaN is not enough either
            yield f"{check} is {'not measured' if value is None else f'{value:.6g}'}"


def _describe(rule: GateRule) -> str:
    parts = [f"{check} >= {least:g}" for check, least in rule.minimum.items()]
    if rule.max_age:
        parts.append(f"at most {rule.max_age} old")
    if rule.config_digest:
        parts.append(f"configuration {rule.config_digest}")
    return f"gate {rule.gate}{_terms(rule.trust, *parts)}"


def _terms(trust: Trust, *parts: str) -> str:
    shown = [*([] if trust is Trust.CLAIMED else [str(trust)]), *parts]
    return f" ({', '.join(shown)})" if shown else ""


def _list(outcomes: dict[str, _Outcome]) -> str:
    return "; ".join(f"{gate or 'a report'} {outcome.found}" for gate, outcome in outcomes.items())


def _requirement(name: str, found: str, is_met: bool, fix: str) -> Requirement:
    return Requirement(name=name, found=found, fix="" if is_met else fix, is_met=is_met)
