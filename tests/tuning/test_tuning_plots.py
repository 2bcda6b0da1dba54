"""One page of plots that needs no network, and each plot as a picture."""

import math
import re

import matplotlib as mpl
import optuna
import pytest
from matplotlib import pyplot
from plotly.offline import get_plotlyjs
from small_studies import define, study_of

from mlflow_ext.tuning.plots import draw_page, draw_pictures, view_objectives

ONE = [
    "History",
    "Importances by fANOVA",
    "Importances by PED-ANOVA",
    "Parallel coordinates",
    "Slices",
    "Contours",
    "Distribution",
]
TITLES = [*ONE, "Timeline"]
PNG = b"\x89PNG\r\n\x1a\n"


def page_of(study):
    return draw_page(view_objectives(study))


def sections(page):
    parts = re.split(r"<h2>(.*?)</h2>", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def is_drawn(part):
    return "Plotly.newPlot" in part


def test_the_page_holds_every_plot_and_loads_nothing_from_anywhere():
    page = page_of(study_of(1.0, 3.0, None, 2.0, "pruned", 5.0, 4.0))

    assert list(sections(page)) == TITLES
    assert all(map(is_drawn, sections(page).values()))
    own = page.replace(get_plotlyjs(), "")
    assert len(own) < len(page) / 10
    assert not re.search(r"<script[^>]+src|<link|<img|<iframe|import\(|@import|fetch\(", own)
    assert len(page) < 8_000_000


@pytest.mark.parametrize("values", [(), (None,), ("pruned",), (math.inf,), (1.0,), (2.0, 2.0)])
def test_what_cannot_be_drawn_is_said_instead(values):
    parts = sections(page_of(study_of(*values)))

    assert list(parts) == TITLES
    assert "Not drawn: " in parts["Importances by fANOVA"]
    assert all(is_drawn(part) != ("Not drawn: " in part) for part in parts.values())
    assert is_drawn(parts["Timeline"]) == bool(values)


def test_one_parameter_is_enough_for_all_but_a_contour():
    parts = sections(page_of(study_of(1.0, 2.0, 3.0, params=1)))

    assert "a contour needs two parameters" in parts.pop("Contours")
    assert all(map(is_drawn, parts.values()))


def test_a_parameter_that_never_varied_is_in_no_contour(caplog):
    study = optuna.create_study(direction="maximize")
    for n in range(4):
        space = {name: optuna.distributions.FloatDistribution(0, 9) for name in ("a", "b", "flat")}
        params = {"a": n, "b": n % 2, "flat": 1.0}
        study.add_trial(optuna.create_trial(params=params, distributions=space, value=float(n)))
    contours = sections(page_of(study))["Contours"]

    assert is_drawn(contours) and "flat" not in contours
    assert not [text for text in caplog.messages if "flat" in text]


def test_an_infinite_value_spoils_no_plot():
    assert all(map(is_drawn, sections(page_of(study_of(1.0, math.inf, 2.0, 3.0))).values()))


def test_the_name_of_a_study_cannot_break_the_page():
    page = page_of(study_of(1.0, 2.0, name="</title><script>alert('x')</script>"))

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_every_objective_has_its_plots_and_all_together_a_front():
    study = define(study_of((1.0, 5.0), (2.0, 4.0), (3.0, 6.0)), "auc", "seconds")
    titles = list(sections(page_of(study)))

    assert titles[0] == "Pareto front"
    assert titles[1:-1] == [f"{title}: {metric}" for metric in ("auc", "seconds") for title in ONE]


def test_a_wide_and_long_study_stays_a_small_page():
    study = study_of(*map(float, range(300)), params=25)
    page = page_of(study)

    assert all(map(is_drawn, sections(page).values()))
    assert len(page) - len(get_plotlyjs()) < 3_000_000


@pytest.fixture(autouse=True)
def _no_figures_of_others():
    pyplot.close("all")


@pytest.fixture
def pictures():
    return draw_pictures(view_objectives(study_of(1.0, 3.0, None, 2.0, 5.0)))


def test_every_plot_is_a_picture_too(pictures):
    assert list(pictures) == [
        "history",
        "importances-by-fanova",
        "importances-by-ped-anova",
        "parallel-coordinates",
        "slices",
        "contours",
        "distribution",
        "timeline",
    ]
    assert all(picture.startswith(PNG) for picture in pictures.values())


def test_what_cannot_be_drawn_is_no_picture():
    assert list(draw_pictures(view_objectives(study_of(None)))) == ["timeline"]


def test_drawing_leaves_pyplot_as_it_was():
    mine = pyplot.figure()
    mine.gca().plot([1, 2])
    style = dict(mpl.rcParams)
    draw_pictures(view_objectives(study_of(1.0, 2.0, 3.0)))

    assert pyplot.get_fignums() == [mine.number]
    assert pyplot.gcf() is mine
    assert dict(mpl.rcParams) == style
    pyplot.close(mine)


def test_drawing_opens_no_window_and_gives_the_backend_back():
    before = mpl.get_backend()
    pyplot.switch_backend("svg")
    draw_pictures(view_objectives(study_of(1.0, 2.0, 3.0)))

    assert mpl.get_backend() == "svg"
    assert pyplot.get_fignums() == []
    pyplot.switch_backend(before)


def test_a_plot_that_breaks_leaves_no_figure_behind(monkeypatch):
    def plot_edf(*_, **__):
        pyplot.figure()
        raise RuntimeError("half-way")

    monkeypatch.setattr(optuna.visualization.matplotlib, "plot_edf", plot_edf)
    pictures = draw_pictures(view_objectives(study_of(1.0, 2.0)))

    assert "distribution" not in pictures
    assert pyplot.get_fignums() == []
