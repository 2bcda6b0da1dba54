"""Data Docs of Great Expectations as one HTML file that needs no network.

GX renders the sections; its page template loads styles, fonts and scripts from eight addresses, so
that an artifact viewer (a sandboxed frame, often on a closed network) shows a bare page. Ours wraps
the same sections, adds the verdict with severities and notes on top, and carries its few styles.
GX also writes unexpected values into its tables as they are, markup included: bare text is escaped
here, and a content security policy forbids the page to run or load anything at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.great_expectations import restore

if TYPE_CHECKING:
    from jinja2.runtime import Context

    from mlflow_ext.records import GateReport

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1f2933; margin: 0 auto; padding: 1.5rem;
  max-width: 72rem; }
h1 { font-size: 1.5rem; } h5 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h6 { font-size: .95rem; margin: 1rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
th, td { border: 1px solid #d9e2ec; padding: .35rem .6rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { background: #f0f4f8; } td:first-child, th:first-child { overflow-wrap: normal; }
 thead[hidden] { display: none; }
code, pre, .code-snippet { font-family: ui-monospace, monospace; }
small { color: #616e7c; } nav a { margin-right: 1rem; } p { margin: .3rem 0; }
.badge { background: #e4e7eb; border-radius: .3rem; padding: 0 .35rem; margin-right: .2rem;
  font-size: .92em; }
.passed, .text-success { color: #0c6b3d; } .failed, .text-danger { color: #b42318; }
.warn { color: #8a5300; } .verdict { font-weight: 700; }
.fa-check-circle::before { content: "\\2714"; } .fa-times::before { content: "\\2718"; }
.fa-exclamation-triangle::before { content: "\\26A0"; }
a[data-toggle], .cooltip .top { display: none; }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title><style>{{ style | safe }}</style></head>
<body>
<h1>{{ title }}: <span class="verdict {{ report.verdict }}">{{ report.verdict }}</span></h1>
<p>{% for table, digest in report.fingerprints.items() %}<small>fingerprint of {{ table }}:
<code>{{ digest }}</code></small><br>{% endfor %}</p>
<table><thead><tr><th>Verdict</th><th>Expectation</th><th>Observed</th><th>Why</th></tr></thead>
<tbody>{% for check in report.checks %}
<tr><td class="{{ check.verdict }}">{{ check.verdict }}{% if check.severity == "warn" %}
<span class="warn">(warn)</span>{% endif %}</td>
<td>{{ check.expected }}<br><small>{{ check.name }}{% if check.slice %}, where
{{ check.slice }}{% endif %}</small></td>
<td>{{ check.observed if check.observed is not none else "" }}{% if check.example %}
<br><small>row: {{ check.example }}</small>{% endif %}</td><td>{{ check.reason }}</td></tr>
{%- endfor %}</tbody></table>
<nav>{% for section in sections %}<a href="#section-{{ loop.index }}">{{ section.section_name }}</a>
{% endfor %}</nav>
{% for section in sections %}{% set section_loop = loop %}{% include "section.j2" %}{% endfor %}
</body>
</html>
"""


def render_data_docs(result: dict[str, Any], report: GateReport) -> str:
    """Render a validation result as a page.

    Args:
        result: The validation result of Great Expectations as plain JSON values.
        report: What the gate made of it.

    Returns:
        A complete HTML document without scripts and without references to other files.
    """
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    document = ValidationResultsPageRenderer().render(restore(result)).to_json_dict()
    # The header of GX calls a failed warning a failure and links to a page that we do not write.
    del document["sections"][0]["content_blocks"][0]
    view = DefaultJinjaPageView()
    view.env.filters["render_content_block"] = _escaping(view.render_content_block)
    page = view.env.from_string(PAGE)
    title = f"Validation of {report.subject.removeprefix('table:')}"
    return page.render(**document, title=title, report=report, style=STYLE)


def _escaping(render: Callable[..., Any]) -> Callable[..., Any]:
    from jinja2 import pass_context
    from markupsafe import escape

    @pass_context
    def render_escaped(context: Context, block: Any, **options: Any) -> Any:
        if isinstance(block, list):
            block = [escape(part) if isinstance(part, str) else part for part in block]
        return render(context, escape(block) if isinstance(block, str) else block, **options)

    return render_escaped
