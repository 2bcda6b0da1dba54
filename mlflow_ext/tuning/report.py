"""One page about a study for whoever has to decide on it: no script, no network, no other file."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from mlflow_ext.tuning.front import seconds_of
from mlflow_ext.tuning.leaderboard import (
    count_causes,
    count_states,
    find_best,
    make_leaderboard,
)

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mlflow_ext.project import Search
    from mlflow_ext.tuning.rescored import Rescored, RescoredTrial

BEST = 10
CAUSES = 5
PARAMETERS = 40
LONGEST = 300  # characters of one cause
WIDEST = 60  # and of a cell that is not wrapped
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
*{box-sizing:border-box}
body{margin:0;padding:16px;background:#fff;color:#1b2027;font:14px/1.45 system-ui,sans-serif}
main{max-width:980px;margin:auto}h1,dd,.cause td{overflow-wrap:anywhere}
h1{font-size:22px;margin:4px 0}h2{font-size:17px;margin:26px 0 6px}p{margin:4px 0}
.banner{background:#0b5fa5;color:#fff;padding:14px 18px;border-radius:6px}
.banner.unsure{background:#6b5a00}.figure{font-size:24px;font-weight:700}
dl{display:grid;grid-template-columns:minmax(90px,max-content) minmax(0,1fr);gap:2px 14px}
dt{font-weight:600;color:#4a525c}dd{margin:0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th{text-align:left;font-size:12px;color:#4a525c;padding:5px 8px;border-bottom:2px solid #d5dae0}
td{padding:5px 8px;border-bottom:1px solid #d5dae0;vertical-align:top;white-space:nowrap}
.cause td{white-space:normal}
tr.chosen td{background:#e3edf6;font-weight:600}
meter{width:72px;height:10px;vertical-align:middle}img{max-width:100%;height:auto}
.note{color:#4a525c;font-size:12.5px}
"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page tells."""

    study: optuna.Study
    search: Search
    importances: Mapping[str, Mapping[str, float] | str]
    """Method -> the share of each parameter, or why it is not known."""
    versions: Mapping[str, str]
    """Package -> version."""
    rescored: Rescored | None = None
    history: bytes | None = None
    """The picture of all values in their order, as PNG."""


def render_report(report: Report) -> str:
    """Write the page of a study, a whole HTML document."""
    title = escape(f"Study {report.study.study_name}")
    trials = report.study.get_trials(deepcopy=False)
    sections = {
        "": _render_banner(report, title),
        "What was searched": _definitions(_describe_search(report, trials)),
        "Scored again on fresh rows": _render_rescored(report.rescored),
        "Parameters": _render_parameters(report),
        "Best trials": _render_best(report.study),
        "History": _render_picture(report.history),
        "What failed": _render_failures(trials),
        "Versions": _definitions(report.versions),
    }
    parts = (f"<h2>{name}</h2>{part}" if name else part for name, part in sections.items() if part)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f"{''.join(parts)}</main></body></html>\n"
    )


def _render_banner(report: Report, title: str) -> str:
    best = find_best(report.study)
    metric, again = escape(report.search.metric), report.rescored
    if best is None:
        figure, kind, note = "no trial completed", "unsure", ""
    elif again is None:
        figure, kind = f"{metric} {_number(best.values[0])}", "unsure"
        note = (
            f"Trial {best.number} on the rows of the search. It was chosen for this value, which "
            "therefore promises too much; no fresh rows were scored."
        )
    else:
        figure, kind = f"{metric} {_number(again.winner.fresh_value)}", ""
        note = f"Trial {again.winner.trial} on {again.rows:,} fresh rows{_ends(again)}. "
        note += "" if again.winner.is_allowed else "It breaks a constraint there, as all do. "
        note += _say_optimism(again)
    return (
        f'<div class="banner {kind}"><h1>{title}</h1><p class="figure">{figure}</p>'
        f"<p>{note}</p></div>"
    )


def _ends(again: Rescored) -> str:
    if again.winner.interval is None:
        return ""
    low, high = map(_number, again.winner.interval)
    return f", {again.level:.0%} interval {low} to {high}"


def _say_optimism(again: Rescored) -> str:
    first = again.trials[0]
    if again.optimism is None:
        return f"The search preferred trial {first.trial}, which could not be fitted again."
    claim = f"The search said {_number(first.search_value)} of trial {first.trial}"
    if again.optimism <= 0:
        return f"{claim}, which fresh rows bear out."
    return f"{claim}, which is {_number(again.optimism)} too good."


def _describe_search(report: Report, trials: Sequence[FrozenTrial]) -> dict[str, str]:
    search = report.search
    counts = count_states(trials)
    started = [trial.datetime_start for trial in trials if trial.datetime_start]
    ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    limit = f", or {search.timeout:g} seconds" if search.timeout else ""
    return {
        "Estimator": search.estimator,
        "Objective": ", ".join(f"{aim.direction} {aim.metric}" for aim in search.aims),
        "Budget": f"{search.n_trials} trials{limit}",
        "Trials": ", ".join(f"{count} {state}" for state, count in counts.items()) or "none",
        "Sampler, pruner": f"{search.sampler}, {search.pruner}",
        "Seed": str(search.seed),
        "Time in trials": f"{sum(map(seconds_of, trials)):,.1f} s",
        "Begun": _moment(min(started)) if started else "-",
        "Ended": _moment(max(ended)) if ended else "-",
    }


def _render_rescored(again: Rescored | None) -> str:
    if again is None:
        return ""
    rows = [_row(_rescored_cells(one), is_chosen=one is again.winner) for one in again.trials]
    note = (
        f"The intervals hold for all {len(again.trials)} trials together, {again.level:.0%} sure; "
        "so also for the one that is chosen."
    )
    titles = ("Trial", "In the search", "Fresh rows", "Interval", "Seeds")
    return f'{_table(titles, rows)}<p class="note">{note}</p>'


def _rescored_cells(one: RescoredTrial) -> list[str]:
    low, high = map(_number, one.interval) if one.interval else ("", "")
    seeds = str(len(one.seeds)) if one.seeds else "none taken"
    value = _number(one.fresh_value) if one.fresh_value is not None else _cut(one.error)
    return [str(one.trial), _number(one.search_value), value, f"{low} to {high}" * bool(low), seeds]


def _render_parameters(report: Report) -> str:
    best = find_best(report.study)
    chosen = report.rescored.winner.params if report.rescored else best.params if best else {}
    methods = report.importances
    shares = [found for found in methods.values() if not isinstance(found, str)]
    names = sorted(
        report.search.space, key=lambda name: -max((s.get(name, 0) for s in shares), default=0)
    )
    rows = [
        _row(
            [
                name,
                _range(report.search.space[name]),
                _number(chosen.get(name)) if name in chosen else "-",
            ],
            "".join(f"<td>{_meter(found, name)}</td>" for found in methods.values()),
        )
        for name in names[:PARAMETERS]
    ]
    reasons = {f"{method}: {why}" for method, why in methods.items() if isinstance(why, str)}
    if len(names) > PARAMETERS:
        reasons.add(f"{len(names) - PARAMETERS} parameters that matter less are not shown.")
    notes = "".join(f'<p class="note">{escape(reason)}</p>' for reason in sorted(reasons))
    return _table(("Parameter", "Range", "Chosen", *methods), rows) + notes


def _meter(found: Mapping[str, float] | str, name: str) -> str:
    if isinstance(found, str) or name not in found:
        return "-"
    share = found[name]
    return f'<meter value="{share:.4f}"></meter> {share:.0%}'


def _range(parameter: Any) -> str:
    if hasattr(parameter, "choices"):
        return _cut(", ".join(map(str, parameter.choices)))
    log = " (log)" * parameter.log
    return f"{_number(parameter.low)} to {_number(parameter.high)}{log}"


def _render_best(study: optuna.Study) -> str:
    board = make_leaderboard(study)
    kept = [place for place, title in enumerate(board["columns"]) if title != "error"]
    rows = [_row([_number(row[place]) for place in kept]) for row in board["data"][:BEST]]
    return _table([board["columns"][place] for place in kept], rows)


def _render_picture(picture: bytes | None) -> str:
    if picture is None:
        return ""
    return f'<img alt="values in order" src="data:image/png;base64,{b64encode(picture).decode()}">'


def _render_failures(trials: Sequence[FrozenTrial]) -> str:
    causes = count_causes(trials)
    rows = [_row([str(count), cause[:LONGEST]]) for cause, count in causes[:CAUSES]]
    table = _table(("Trials", "Cause"), rows)
    return f'<div class="cause">{table}</div>' if rows else "<p>No trial failed.</p>"


def _table(titles: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>' if body else ""


def _row(cells: Iterable[str], more: str = "", *, is_chosen: bool = False) -> str:
    kind = ' class="chosen"' * is_chosen
    return f"<tr{kind}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}{more}</tr>"


def _definitions(pairs: Mapping[str, str]) -> str:
    lines = (f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in pairs.items())
    return f"<dl>{''.join(lines)}</dl>"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _moment(moment: datetime) -> str:
    """Say a moment, which Optuna keeps in local time."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _number(value: Any) -> str:
    """Say a value of a parameter, a metric or a cell.

    >>> _number(0.123456789), _number(None), _number("rbf")
    ('0.12346', '-', 'rbf')
    """
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.5g}"
    return "-" if value is None else str(value)
