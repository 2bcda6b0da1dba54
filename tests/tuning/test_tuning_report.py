"""The page about a study: what it says in each case, and that it opens anywhere."""

import re
from dataclasses import replace

import pytest
from browsers import open_browser, open_page
from small_studies import define, study_of
from tiny_study import SEARCH

from mlflow_ext.project import FloatRange, IntRange
from mlflow_ext.tuning.plots import draw_pictures, view_objectives
from mlflow_ext.tuning.report import Report, render_report
from mlflow_ext.tuning.rescored import Rescored, RescoredTrial

SPACE = {
    "p0": FloatRange(type="float", low=0.01, high=1.0, log=True),
    "p1": IntRange(type="int", low=1, high=9),
}


def rescored_trial(number, search, fresh, interval=(0.6, 0.7), error=""):
    return RescoredTrial(
        trial=number,
        params={"p0": 0.25, "p1": 3},
        search_value=search,
        fresh_value=fresh,
        interval=interval,
        seeds=(5, 6, 7),
        error=error,
    )


def rescored(*trials, winner=0, optimism=0.05):
    return Rescored(
        metric="roc_auc",
        rows=1234,
        level=0.95,
        trials=trials,
        winner=trials[winner],
        optimism=optimism,
    )


def report_of(study, **changes):
    view = view_objectives(study)[0]
    search = replace(SEARCH, space=SPACE)
    report = Report(
        study=study, search=search, importances=view.importances, versions={"optuna": "9.9"}
    )
    return replace(report, **changes)


def text_of(report):
    page = render_report(report).partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


STUDY = define(study_of(0.7, None, 0.65, "pruned", 0.6, None, direction="maximize"), "roc_auc")


def test_without_fresh_rows_the_page_warns_of_its_own_figure():
    text = text_of(report_of(STUDY))

    assert "roc_auc 0.7 Trial 0 on the rows of the search." in text
    assert "promises too much; no fresh rows were scored" in text
    assert "Scored again" not in text


def test_with_fresh_rows_their_figure_stands_first_with_its_interval():
    again = rescored(rescored_trial(0, 0.7, 0.63), rescored_trial(2, 0.65, 0.64), winner=1)
    text = text_of(report_of(STUDY, rescored=again))

    assert "roc_auc 0.64 Trial 2 on 1,234 fresh rows, 95% interval 0.6 to 0.7." in text
    assert "The search said 0.7 of trial 0, which is 0.05 too good." in text
    assert "Trial In the search Fresh rows Interval Seeds" in text


@pytest.mark.parametrize(
    ("first", "optimism", "words"),
    [
        (rescored_trial(0, 0.7, 0.71), -0.01, "0.7 of trial 0, which fresh rows bear out."),
        (rescored_trial(0, 0.7, None, None, "ValueError: <boom>"), None, "could not be fitted"),
    ],
)
def test_every_end_of_the_comparison_has_its_words(first, optimism, words):
    again = rescored(first, rescored_trial(2, 0.65, 0.64), winner=1, optimism=optimism)

    assert words in text_of(report_of(STUDY, rescored=again))


def test_a_winner_that_breaks_a_constraint_on_fresh_rows_is_told_so():
    first = replace(rescored_trial(0, 0.7, 0.63), excess=(-0.1, 0.2))

    assert "breaks a constraint" in text_of(report_of(STUDY, rescored=rescored(first)))
    kept = replace(first, excess=(-0.1, 0.0))
    assert "breaks a constraint" not in text_of(report_of(STUDY, rescored=rescored(kept)))


def test_search_budget_failures_and_versions_are_told():
    text = text_of(report_of(STUDY))

    for words in (
        "Objective maximize roc_auc",
        "Budget 14 trials",
        "Trials 3 complete, 1 pruned, 2 fail",
        "Seed 3",
        "p0 0.01 to 1 (log)",
        "2 ValueError: it &lt;broke&gt;",
        "optuna 9.9",
    ):
        assert words in text


def test_a_study_in_which_nothing_completed_has_a_page_too():
    text = text_of(report_of(study_of(None, None)))

    assert "no trial completed" in text
    assert "two completed trials" in text


def test_no_name_value_or_error_can_break_the_page():
    name = "</title><script>alert(1)</script>"
    study = study_of(1.0, 2.0, None, name=name)
    again = rescored(rescored_trial(0, 1.0, None, None, "<img src=x>"), rescored_trial(1, 1.0, 0.5))
    page = render_report(report_of(study, rescored=replace(again, winner=again.trials[1])))

    assert "<script" not in page
    assert "<img src=x>" not in page
    assert "default-src 'none'" in page


@pytest.mark.slow
def test_in_the_sandbox_of_mlflow_the_page_is_readable_on_a_telephone(tmp_path):
    picture = draw_pictures(view_objectives(STUDY))["history"]
    again = rescored(rescored_trial(0, 0.7, 0.63), rescored_trial(2, 0.65, 0.64))
    (tmp_path / "report.html").write_text(
        render_report(report_of(STUDY, rescored=again, history=picture)), encoding="utf-8"
    )
    (tmp_path / "viewer.html").write_text(
        '<body style="margin:0"><iframe sandbox="" src="report.html" '
        'style="border:0;width:100%;height:2000px"></iframe>'
    )
    with open_browser() as browser, open_page(browser, width=390) as page:
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto((tmp_path / "viewer.html").as_uri())
        frame = page.frame_locator("iframe")
        frame.get_by_role("heading", name="Study bob's study").wait_for()
        frame.get_by_role("img", name="values in order").wait_for()
        boxes = [frame.get_by_role("heading").nth(n).bounding_box() for n in range(4)]
        picture = frame.get_by_role("img", name="values in order").bounding_box()

    assert complaints == []
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in [*boxes, picture])
    assert picture["width"] > 200
