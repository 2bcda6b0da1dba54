"""Do people and the calendar allow a version into a stage? Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from mlflow_ext.records import Requirement, Vote
from mlflow_ext.registry.dossier import Dossier, PromotionRequest
from mlflow_ext.registry.rules import (
    ApprovalRule,
    FreezeWindow,
    Policy,
    canonical_stage,
    members,
    milliseconds,
)


def judge_approvals(
    policy: Policy, rule: ApprovalRule, request: PromotionRequest, dossier: Dossier
) -> Iterator[Requirement]:
    """Ask for enough approvals and for no rejection; the last word of each person counts."""
    among = members(policy, rule.groups)
    votes = [
        vote
        for vote in _last_words(dossier.votes, request.to_stage)
        if not rule.groups or vote.actor in among
    ]
    outcomes = {v.actor: _why_not(rule, v, dossier) or "approved" for v in votes if v.is_approval}
    approved = [actor for actor, outcome in outcomes.items() if outcome == "approved"]
    rejected = [f"{v.actor}: {v.reason}" for v in votes if not v.is_approval]
    yield _requirement(
        _describe(rule),
        "; ".join(f"{actor} {outcome}" for actor, outcome in outcomes.items()) or "none",
        request.command("approve") if len(approved) < rule.count else "",
    )
    yield _requirement(
        "no rejection",
        "; ".join(rejected) or "none",
        f"{request.command('approve')}  # by who rejected it" if rejected else "",
    )


def judge_time(least: str, request: PromotionRequest, dossier: Dossier) -> Requirement:
    """Ask whether the version has been long enough where it is."""
    since_ms, stage = dossier.entered_ms, dossier.stages[request.version]
    name = f"at least {least} in stage {stage}"
    if since_ms is None:
        return _requirement(name, "since nobody knows when", _come_again(request, stage))
    due_ms = since_ms + milliseconds(least)
    fix = "" if dossier.now_ms >= due_ms else _later(request, _moment(due_ms))
    return _requirement(name, f"since {_day(_moment(since_ms))}", fix)


def judge_freeze(window: FreezeWindow, request: PromotionRequest, now_ms: int) -> Requirement:
    """Ask whether nothing may move now."""
    start = find_freeze(window, now_ms)
    why = f": {window.reason}" if window.reason else ""
    name = f"no freeze ({window.starts} {window.timezone} for {window.lasts})"
    if start is None:
        return _requirement(name, "none now", "")
    end = start + timedelta(milliseconds=milliseconds(window.lasts))
    return _requirement(name, f"frozen since {_day(start)}{why}", _later(request, end))


def find_freeze(window: FreezeWindow, now_ms: int) -> datetime | None:
    """Return when the freeze began that lasts at *now_ms*, in UTC; None when there is none.

    It lasts from its beginning, which belongs to it, to its end, which does not.
    """
    now = _moment(now_ms)
    earliest = now - timedelta(milliseconds=milliseconds(window.lasts))
    # cronsim counts on the wall clock, which may show one hour twice: a start may lie too early.
    for local in CronSim(window.starts, earliest.astimezone(ZoneInfo(window.timezone))):
        start = local.astimezone(UTC)
        if start > now:
            return None
        if start > earliest:
            return start
    return None


def _last_words(votes: tuple[Vote, ...], stage: str) -> list[Vote]:
    about = [v for v in votes if canonical_stage(v.to_stage) == canonical_stage(stage)]
    return list({v.actor: v for v in sorted(about, key=lambda v: (v.time_ms, v.id))}.values())


def _why_not(rule: ApprovalRule, vote: Vote, dossier: Dossier) -> str:
    if not rule.allow_author and vote.actor in dossier.authors:
        return "does not count, as an author of the version"
    if rule.max_age and dossier.now_ms - vote.time_ms > milliseconds(rule.max_age):
        return f"approved more than {rule.max_age} ago"
    return ""


def _describe(rule: ApprovalRule) -> str:
    who = f" of {' or '.join(rule.groups)}" if rule.groups else ""
    other = "" if rule.allow_author else ", not of an author"
    return f"{rule.count} approval{'s' if rule.count > 1 else ''}{who}{other}"


def _come_again(request: PromotionRequest, stage: str) -> str:
    leave = request.command("promote", "Archived" if stage == "None" else "None")
    return f"{leave}  # and back to {stage}, from then on it counts"


def _later(request: PromotionRequest, due: datetime) -> str:
    return f"{request.command('promote')}  # from {_day(due)} on"


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _requirement(name: str, found: str, fix: str) -> Requirement:
    return Requirement(name=name, found=found, fix=fix, is_met=not fix)
