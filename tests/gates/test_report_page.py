"""The page of gate reports: what it says, that it says it safely, and that it can be read."""

import re
from html.parser import HTMLParser

import mlflow
import pandas as pd
import pytest
from browsers import open_browser, open_page
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.gates.bar import draw_bars, read_bounds
from mlflow_ext.gates.page import SIGNS, render_page
from mlflow_ext.gates.record import PAGE, log_reports, measurements
from mlflow_ext.records import Check, GateReport, Severity, Verdict, from_json

EVIL = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"
VOID = {"meta", "br", "path", "rect", "circle"}


def check(name="recall", verdict=Verdict.PASSED, expected=">= 0.5", **values):
    return Check(name=name, verdict=verdict, expected=expected, **values)


def report(*checks, gate="metrics", subject="models:/delay/3"):
    return GateReport(
        gate=gate,
        subject=subject,
        checks=checks,
        fingerprints={"holdout": "f" * 64},
        config_digest="c" * 64,
        created_ms=1_800_000_000_000,
    )


class Reader(HTMLParser):
    """Collects tags, attributes and text, and fails on a tag that is not closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def rows_of(page):
    """The cells of each row of the page, as text."""
    rows = re.findall(r"<tr class.*?</tr>", page)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


@pytest.mark.parametrize("verdict", Verdict)
def test_the_verdict_is_a_word_and_a_sign_before_it_is_a_colour(verdict):
    page = Reader(render_page([report(check(verdict=verdict))], "delay"))
    assert f"{SIGNS[verdict]} {verdict}" in page.text
    assert f"delay: {verdict}" in page.text
    assert len(set(SIGNS.values())) == len(Verdict)


def test_every_field_of_a_check_is_told():
    told = check(
        "auc against models:/delay/2",
        Verdict.INCONCLUSIVE,
        ">= 0.51",
        observed=0.5234567,
        interval=(0.4801, 0.5609),
        rows=27004,
        rows_needed=14100,
        slice="carrier=UA",
        reason="too few rows",
        severity=Severity.WARN,
        example={"tailnum": None, "delay": 3.25},
    )
    text = " ".join(Reader(render_page([report(told)], "delay")).text)
    for part in (
        *("auc against models:/delay/2", "carrier=UA", "0.523457", "0.4801 to 0.5609", ">= 0.51"),
        *("27,004", "14,100", "too few rows", "does not decide", "tailnum=null, delay=3.25"),
        *("models:/delay/3", "2027-01-15 08:00:00 UTC", "ffffffffffffffff", "cccccccccccccccc"),
    ):
        assert part in text


def test_what_did_not_pass_stands_first_and_the_rest_keeps_its_order():
    verdicts = ("passed", "skipped", "failed", "passed", "inconclusive", "failed")
    checks = [check(f"c{n}", Verdict(verdict)) for n, verdict in enumerate(verdicts)]
    names = [re.sub("<.*?>", "", row[1]) for row in rows_of(render_page([report(*checks)], "t"))]
    assert names == ["c2", "c5", "c4", "c1", "c0", "c3"]


def test_a_column_that_would_be_empty_is_left_out():
    page = render_page([report(check())], "t")
    assert "Slice" not in page and "Rows needed" not in page
    assert "Slice" in render_page([report(check(slice="a=b"))], "t")


def test_a_gate_about_a_table_names_it():
    about = report(check(), gate="expectations", subject="table:flights")
    assert "expectations of flights" in render_page([about], "t")


def test_without_a_report_nothing_has_passed():
    text = " ".join(Reader(render_page([], "delay")).text)
    assert "inconclusive" in text and "0 of 0 gates passed" in text


@given(st.text(), st.text(), st.text())
def test_no_text_gets_out_of_its_place(name, reason, value):
    told = check(name, reason=reason, slice=value, observed=value, example={name: value})
    page = Reader(render_page([report(told, gate=name)], reason))
    plain = Reader(render_page([report(check("a", reason="b", slice="c", observed="d"))], "t"))
    assert set(page.tags) <= {*plain.tags, "br"}


def test_markup_in_any_text_stays_text():
    told = check(EVIL, expected=EVIL, reason=EVIL, slice=EVIL, observed=EVIL, example={EVIL: EVIL})
    page = Reader(render_page([report(told, gate=EVIL, subject=f"table:{EVIL}")], EVIL))
    assert not {"script", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "".join(page.text).count("<script>") >= 8


def test_it_asks_nothing_of_any_network():
    page = render_page([report(check(observed=0.6, interval=(0.4, 0.7)))], "t")
    assert not re.search(r"https?:|src=|href=|url\(|@import", page)
    assert "default-src 'none'" in page


BOUNDS = [
    (">= 0.68", (0.68, float("inf"))),
    ("<= 0.21 at 95% confidence", (float("-inf"), 0.21)),
    ("gain > -0.005 at error level 0.0083", (-0.005, float("inf"))),
    ("in [0.8, 1.25]", (0.8, 1.25)),
    (">= 1e-3", (0.001, float("inf"))),
    ("passed, for fingerprint 12", (float("-inf"), float("inf"))),
]


@pytest.mark.parametrize(("words", "bounds"), BOUNDS)
def test_the_good_side_is_read_from_the_words(words, bounds):
    assert read_bounds(words) == bounds


def places(picture, pattern):
    return [float(place) for place in re.findall(pattern, picture)]


def test_the_picture_shows_value_and_interval_where_they_lie_to_the_threshold():
    (picture,) = draw_bars([check(observed=0.6, interval=(0.4, 0.7))])
    (dot,) = places(picture, r'cx="([\d.]+)"')
    (threshold,) = places(picture, r'threshold" d="M([\d.]+)')
    low, high = re.search(r'interval" d="M([\d.]+) [\d.]+H([\d.]+)', picture).groups()
    assert float(low) < threshold < dot < float(high)
    assert 'aria-label="observed 0.6 [0.4, 0.7], expected &gt;= 0.5"' in picture


def test_checks_of_one_rule_share_an_axis():
    first, second, other = draw_bars(
        [
            check(observed=0.6, interval=(0.1, 0.9)),
            check(observed=0.55, interval=(0.5, 0.6)),
            check("brier", expected="<= 0.5", observed=0.55, interval=(0.5, 0.6)),
        ]
    )
    (one,), (same,), (apart,) = (
        places(p, r'threshold" d="M([\d.]+)') for p in (first, second, other)
    )
    assert one == same != apart


@pytest.mark.parametrize(
    "values",
    [
        {"observed": 3, "expected": "a table"},
        {"observed": "passed"},
        {"observed": True},
        {"observed": float("nan")},
        {"observed": None},
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_not_drawn(values):
    assert list(draw_bars([check(**values)])) == [""]


FINITE = st.floats(-1e300, 1e300)


@given(FINITE, FINITE, FINITE, FINITE)
def test_every_picture_stays_inside_its_frame(value, low, high, threshold):
    told = check(observed=value, interval=(low, high), expected=f"<= {threshold!r}")
    (picture,) = draw_bars([told])
    assert "nan" not in picture and "inf" not in picture
    assert all(0 <= place <= 180 for place in places(picture, r'(?:cx="|d="M|H)([-\d.]+)'))


def test_metrics_have_names_that_mlflow_takes_and_leave_out_what_is_no_number():
    checks = (
        check("recall", slice="seats>100", observed=0.5),
        check("expect_a(b)", observed=7),
        check("ok", observed=True),
        check("none"),
        check("nan", observed=float("nan")),
        check("words", observed="passed"),
        check("x" * 400, observed=1.5),
    )
    found = measurements(report(*checks, gate="slices"))
    assert list(found.values()) == [0.5, 7.0, 1.5]
    assert list(found)[:2] == ["gate.slices.recall.seats_100", "gate.slices.expect_a_b_"]
    assert all(len(name) <= 250 for name in found)


def test_all_reports_of_a_run_are_logged_with_one_page(tracking):
    reports = [report(check(observed=0.6)), report(check(observed=0.1), gate="champion")]
    with mlflow.start_run() as active:
        log_reports(reports)
    run = tracking.get_run(active.info.run_id)
    assert run.data.tags["gate.champion"] == "passed"
    assert run.data.metrics == {"gate.metrics.recall": 0.6, "gate.champion.recall": 0.1}
    page = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{PAGE}")
    assert page == render_page(reports, "models:/delay/3")
    read = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/gates/metrics.json")
    assert from_json(GateReport, read) == reports[0]


def test_reports_can_be_logged_in_a_run_that_is_not_active(tracking):
    run = tracking.create_run("0")
    log_reports([report(check(observed=0.6))], tracking, run.info.run_id)
    assert tracking.get_run(run.info.run_id).data.metrics == {"gate.metrics.recall": 0.6}
    assert mlflow.active_run() is None


def test_a_table_that_a_gate_has_left_is_logged_where_no_report_is_looked_for(tracking):
    table = pd.DataFrame({"slice": ["carrier=UA"], "recall": [0.5]})
    with mlflow.start_run() as active:
        log_reports([report(check(observed=0.6))], tables={"slices": table})
    found = mlflow.load_table("gates/tables/slices.json", run_ids=[active.info.run_id])
    assert found.equals(table)
    beside = {file.path for file in tracking.list_artifacts(active.info.run_id, "gates")}
    assert beside == {"gates/metrics.json", PAGE, "gates/tables"}


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_a_screen_and_loads_nothing(width, tmp_path):
    checks = [
        check(
            f"expect_column_values_to_not_be_null({'long_' * 30})",
            Verdict.FAILED,
            observed=0.1 * n,
            interval=(0.1 * n - 0.05, 0.1 * n + 0.05),
            reason="why this matters " * 30,
            slice=f"carrier={n}",
            rows=336_776,
            rows_needed=10,
        )
        for n in range(9)
    ]
    sandbox = tmp_path / "sandbox.html"
    (tmp_path / "page.html").write_text(render_page([report(*checks)], "delay"), encoding="utf-8")
    sandbox.write_text('<iframe sandbox src="page.html" width="100%" height="800"></iframe>')
    with open_browser() as browser, open_page(browser, width) as page:
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(sandbox.as_uri())
        inside = page.frames[1]
        assert inside.locator(".banner .word").inner_text().strip() == "✗ FAILED"
        assert inside.locator("svg.bar").count() == 9
        page.goto((tmp_path / "page.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("svg.bar").first.bounding_box()["width"] >= 100
    assert [url.rpartition("/")[2] for url in asked] == ["sandbox.html", "page.html", "page.html"]
    assert said == []
