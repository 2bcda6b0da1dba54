"""Gate reports as one HTML page that needs nothing else: no network, no script, no other file.

It is made to be read among the artifacts of a run, where MLflow shows it in a sandbox, and to be
sent by mail: every verdict is a word and a sign before it is a colour.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape

from mlflow_ext.gates.bar import draw_bars
from mlflow_ext.records import Check, GateReport, Json, Severity, Verdict, combine

SIGNS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.SKIPPED: "-",
}
WORST_FIRST = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.SKIPPED, Verdict.PASSED)

# Blue against orange: told apart by colour-blind readers, and dark enough for white letters.
STYLE = """
:root{--passed:#0b5fa5;--failed:#b3400a;--inconclusive:#6b5a00;--skipped:#5b6470;--edge:#d5dae0}
*{box-sizing:border-box}
body{margin:0;padding:16px;background:#fff;color:#1b2027;font:14px/1.45 system-ui,sans-serif}
main{max-width:1280px;margin:auto}
h1{font-size:22px;margin:4px 0}h2{font-size:17px;margin:0}p{margin:4px 0}
h1,h2,dd,li,.text{overflow-wrap:anywhere}.text{min-width:96px}
.banner{color:#fff;padding:14px 18px;border-radius:6px}
.banner .word{font-size:18px;font-weight:700;text-transform:uppercase;letter-spacing:.04em}
.passed{--mark:var(--passed)}.failed{--mark:var(--failed)}
.inconclusive{--mark:var(--inconclusive)}.skipped{--mark:var(--skipped)}
.banner,.badge{background:var(--mark)}
.badge{display:inline-block;color:#fff;border-radius:4px;padding:1px 8px;font-weight:600;
white-space:nowrap}
ul.gates{list-style:none;display:flex;flex-wrap:wrap;gap:8px;padding:0;margin:14px 0}
ul.gates li{border:1px solid var(--edge);border-radius:6px;padding:5px 9px}
section{margin:26px 0}section>header{display:flex;flex-wrap:wrap;gap:10px;align-items:center}
dl{display:flex;flex-wrap:wrap;gap:2px 18px;margin:6px 0 10px;color:#4a525c;font-size:12.5px}
dl div{display:flex;gap:6px;min-width:0}dt{font-weight:600}dd{margin:0}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-size:12px;color:#4a525c;padding:6px 8px;border-bottom:2px solid var(--edge)}
td{padding:7px 8px;border-bottom:1px solid var(--edge);vertical-align:top}
tr{border-left:4px solid var(--mark,transparent)}
.number{text-align:right;font-variant-numeric:tabular-nums}
.note{color:#4a525c;font-size:12.5px}
.bar{display:block;min-width:150px;max-width:100%}.bar .good{fill:#e3edf6}.bar .axis{stroke:#b9c0c8}
.bar .threshold{stroke:#1b2027;stroke-width:1.5;stroke-dasharray:3 2}
.bar .interval{stroke:var(--mark);stroke-width:2.5;fill:none}
.bar .dot{fill:var(--mark);stroke:#fff;stroke-width:1.5}
@media(max-width:760px){thead{display:none}
table,tbody{display:block}tr{display:block;margin:0 0 12px;padding:4px 0 4px 10px}
td{display:grid;grid-template-columns:104px minmax(0,1fr);gap:8px;padding:3px 0;border:0}
td::before{content:attr(data-title);font-weight:600;color:#4a525c;font-size:12px}
td:empty{display:none}.number{text-align:left}}
@media print{tr{break-inside:avoid}.banner,.badge,.good{print-color-adjust:exact}}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_page(reports: Sequence[GateReport], title: str) -> str:
    """Write *reports* as one HTML page.

    Args:
        reports: What gates said, in the order in which they are to stand.
        title: Whatever they are about, in the words of its reader.

    Returns:
        A whole HTML document. Checks that did not pass stand first in the table of their gate.
    """
    verdict = combine([report.verdict for report in reports])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}: {verdict}</title><style>{STYLE}</style></head><body><main>"
        f"{_banner(reports, title, verdict)}{''.join(map(_section, reports))}"
        "</main></body></html>\n"
    )


def _banner(reports: Sequence[GateReport], title: str, verdict: Verdict) -> str:
    passed = sum(report.verdict is Verdict.PASSED for report in reports)
    gates = "".join(f"<li>{escape(_name(r))} {_badge(r.verdict)}</li>" for r in reports)
    return (
        f'<div class="banner {verdict}"><p class="word">{SIGNS[verdict]} {verdict}</p>'
        f"<h1>{escape(title)}</h1><p>{passed} of {len(reports)} gates passed</p></div>"
        f'<ul class="gates">{gates}</ul>'
    )


def _section(report: GateReport) -> str:
    checks = sorted(report.checks, key=lambda check: WORST_FIRST.index(check.verdict))
    lines = list(zip(checks, draw_bars(checks), strict=True))
    columns = [column for column in COLUMNS if any(column[1](*line) for line in lines)]
    titles = "".join(f'<th scope="col">{title}</th>' for title, *_ in columns)
    rows = "".join(
        f'<tr class="{check.verdict}">'
        + "".join(_cell(title, kind, write(check, bar)) for title, write, kind in columns)
        + "</tr>"
        for check, bar in lines
    )
    return (
        f"<section><header><h2>{escape(_name(report))}</h2>{_badge(report.verdict)}</header>"
        f"{_origin(report)}<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
        "</section>"
    )


def _name(report: GateReport) -> str:
    table = report.subject.partition("table:")[2]
    return f"{report.gate} of {table}" if table else report.gate


def _origin(report: GateReport) -> str:
    moment = datetime.fromtimestamp(report.created_ms / 1000, UTC)
    known = {
        "about": report.subject,
        "judged": f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        **{f"rows of {name}": digest[:16] for name, digest in report.fingerprints.items()},
        "configuration": report.config_digest[:16],
    }
    pairs = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in known.items())
    return f"<dl>{''.join(pairs)}</dl>"


def _badge(verdict: Verdict) -> str:
    return f'<span class="badge {verdict}">{SIGNS[verdict]} {verdict}</span>'


def _cell(title: str, kind: str, content: str) -> str:
    inside = f"<div>{content}</div>" if content else ""
    return f'<td class="{kind}" data-title="{title}">{inside}</td>'


def _verdict(check: Check, _: str) -> str:
    is_warning = check.severity is Severity.WARN
    return _badge(check.verdict) + ('<div class="note">does not decide</div>' * is_warning)


def _observed(check: Check, _: str) -> str:
    value = "" if check.observed is None else escape(_shown(check.observed))
    ends = " to ".join(map(_shown, check.interval or ()))
    return value + (f'<div class="note">{ends}</div>' if ends else "")


def _reason(check: Check, _: str) -> str:
    row = (check.example or {}).items()
    example = "for example " + ", ".join(f"{k}={_shown(v)}" for k, v in row) if row else ""
    return "<br>".join(escape(line) for line in (check.reason, example) if line)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _shown(value: Json) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


COLUMNS: tuple[tuple[str, Callable[[Check, str], str], str], ...] = (
    ("Verdict", _verdict, ""),
    ("Check", lambda check, _: escape(check.name), "text"),
    ("Slice", lambda check, _: escape(check.slice or ""), "text"),
    ("Observed", _observed, "text number"),
    ("Against the threshold", lambda _, bar: bar, ""),
    ("Expected", lambda check, _: escape(check.expected), "text"),
    ("Rows", lambda check, _: _count(check.rows), "number"),
    ("Rows needed", lambda check, _: _count(check.rows_needed), "number"),
    ("Why", _reason, "text"),
)
"""Title, what it shows of a check and of its picture, and how it is set."""
