"""The figures: what a reader finds in them."""

import sys

import numpy as np
import pytest

from mlflow_ext.evaluation.figures import draw_all, draw_confusion, draw_pr
from mlflow_ext.evaluation.metrics import score_of
from mlflow_ext.evaluation.predictions import Predictions


@pytest.fixture(scope="module")
def splits():
    random = np.random.default_rng(0)
    truth = random.random(600)
    labels = (random.random(600) < truth).astype(int)
    return [
        Predictions("validation", labels[:300], truth[:300], 0.3),
        Predictions("holdout", labels[300:], truth[300:], 0.3),
    ]


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_all_four_figures_are_drawn_without_pyplot(splits):
    before = "matplotlib.pyplot" in sys.modules
    assert set(draw_all(splits)) == {"roc", "pr", "calibration", "confusion"}
    assert ("matplotlib.pyplot" in sys.modules) == before


@pytest.mark.parametrize(
    ("name", "short", "metric"),
    [("roc", "AUC", "roc_auc"), ("pr", "AP", "average_precision"), ("calibration", "ECE", "ece")],
)
def test_curves_overlay_both_splits_with_their_value_in_the_legend(splits, name, short, metric):
    figure = draw_all(splits)[name]
    for one in splits:
        assert f"{one.split} ({short} {score_of(metric, one):.3f})" in legend(figure)


def test_curves_have_a_title_labelled_axes_and_a_grid(splits):
    for name in ("roc", "pr", "calibration"):
        axes = draw_all(splits)[name].axes
        assert axes[0].get_title()
        assert axes[-1].get_xlabel()
        assert axes[0].get_ylabel()
        assert any(line.get_visible() for line in axes[0].get_xgridlines())


def test_the_confusion_figure_counts_every_row_of_each_split(splits):
    for one, axes in zip(splits, draw_confusion(splits).axes, strict=True):
        cells = [text.get_text().split("\n") for text in axes.texts]
        assert sum(int(count.replace(",", "")) for count, _ in cells) == one.rows
        assert one.split in axes.get_title()


def test_the_histogram_shows_its_highest_bar(splits):
    _, below = draw_all(splits)["calibration"].axes
    highest = max(patch.get_path().vertices[:, 1].max() for patch in below.patches)
    assert below.get_ylim()[1] >= highest


def test_a_model_that_predicts_no_positive_has_no_operating_point():
    never = Predictions("holdout", np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.1, 0.2]), 0.9)
    assert not [text for text in legend(draw_pr([never])) if "threshold" in text]
