"""The pictures of an evaluation: every split in one figure, drawn without pyplot's global state."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_ext.evaluation.metrics import reliability, score_of
from mlflow_ext.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito: told apart by colour-blind readers, and in print.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
GREY = "#777777"


def draw_all(predictions: Sequence[Predictions]) -> dict[str, Figure]:
    """Draw every figure of an evaluation.

    Args:
        predictions: One per split, each with both classes.

    Returns:
        Figures by name: ``roc``, ``pr``, ``calibration``, ``confusion``.
    """
    return {
        "roc": draw_roc(predictions),
        "pr": draw_pr(predictions),
        "calibration": draw_calibration(predictions),
        "confusion": draw_confusion(predictions),
    }


def draw_roc(predictions: Sequence[Predictions]) -> Figure:
    """Draw true against false positive rate, with the decision threshold marked on each curve."""
    from sklearn.metrics import roc_curve

    figure, (axes,) = _figure(1, size=(6.4, 5.6))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance (AUC 0.500)")
    for one, colour in zip(predictions, cycle(PALETTE), strict=False):
        fall_out, hit_rate, _ = roc_curve(one.labels, one.probability)
        axes.plot(fall_out, hit_rate, color=colour, label=_label(one, "AUC", "roc_auc"))
        axes.plot(
            [one.decisions[one.labels == 0].mean()],
            [one.decisions[one.labels == 1].mean()],
            color=colour,
            **_marker(one),
        )
    _finish(axes, "ROC curve", "False positive rate", "True positive rate")
    axes.legend(loc="lower right")
    return figure


def draw_pr(predictions: Sequence[Predictions]) -> Figure:
    """Draw precision against recall, beside what a blind choice would reach in each split."""
    from sklearn.metrics import precision_recall_curve

    figure, (axes,) = _figure(1, size=(6.4, 5.6))
    for one, colour in zip(predictions, cycle(PALETTE), strict=False):
        precision, recall, _ = precision_recall_curve(
            one.labels, one.probability, drop_intermediate=True
        )
        # The last point (recall 0, precision 1) is a convention, and no threshold reaches it.
        axes.plot(
            recall[:-1],
            precision[:-1],
            color=colour,
            label=_label(one, "AP", "average_precision"),
        )
        axes.axhline(one.positive_rate, color=colour, linestyle="--", linewidth=1)
        if one.decisions.any():
            axes.plot(
                [score_of("recall", one)],
                [score_of("precision", one)],
                color=colour,
                **_marker(one),
            )
    axes.plot([], [], color=GREY, linestyle="--", linewidth=1, label="share of positives")
    _finish(axes, "Precision-recall curve", "Recall", "Precision")
    axes.legend(loc="upper right")
    return figure


def draw_calibration(predictions: Sequence[Predictions]) -> Figure:
    """Draw the observed against the predicted share of positives, above how often each occurs."""
    figure, (axes, below) = _figure(2, size=(6.4, 7.0), gridspec_kw={"height_ratios": [3, 1]})
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect (ECE 0.000)")
    for one, colour in zip(predictions, cycle(PALETTE), strict=False):
        mean, positives, _ = reliability(one.labels, one.probability)
        axes.plot(
            mean, positives, "o-", color=colour, markersize=4, label=_label(one, "ECE", "ece")
        )
        below.hist(
            one.probability,
            bins=np.linspace(0, 1, 41).tolist(),
            weights=np.full(one.rows, 100 / one.rows),
            histtype="step",
            color=colour,
        )
    _finish(axes, "Calibration", "", "Observed share of positives")
    axes.legend(loc="upper left")
    _finish(below, "", "Predicted probability", "% of rows")
    below.autoscale(axis="y")
    return figure


def draw_confusion(predictions: Sequence[Predictions]) -> Figure:
    """Draw a confusion matrix per split: rows, and their share of the actual class."""
    from sklearn.metrics import confusion_matrix

    figure, grid = _figure(1, len(predictions), size=(4.2 * len(predictions), 4.8))
    figure.suptitle("Confusion matrix: rows, and share of the actual class")
    for one, axes in zip(predictions, grid, strict=True):
        counts = confusion_matrix(one.labels, one.decisions, labels=[0, 1])
        shares = counts / counts.sum(axis=1, keepdims=True)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            share = shares[row, column]
            text = f"{count:,}\n{share:.1%}"
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
        axes.set_title(f"{one.split}, threshold {one.decision_threshold:g}")
        axes.set_xticks([0, 1], ["0", "1"])
        axes.set_yticks([0, 1], ["0", "1"])
        axes.set_xlabel("Predicted")
        axes.set_ylabel("Actual")
    return figure


def _figure(
    rows: int, columns: int = 1, *, size: tuple[float, float], **options: Any
) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(grid.flat)


def _label(one: Predictions, short: str, metric: str) -> str:
    return f"{one.split} ({short} {score_of(metric, one):.3f})"


def _marker(one: Predictions) -> dict[str, Any]:
    label = f"{one.split} at threshold {one.decision_threshold:g}"
    return {"marker": "o", "markersize": 7, "linestyle": "none", "label": label}


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), title=title, xlabel=across, ylabel=up)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
