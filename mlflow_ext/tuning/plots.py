"""The plots of a study: all of them on one page, and each of them as a picture.

The page holds plotly.js once and asks no server for anything, so it opens inside the MLflow UI,
from a mail and years later. Page and pictures are drawn by Optuna's two twins, plotly and
matplotlib, from one list.
"""

from __future__ import annotations

import html
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlflow_ext.tuning.importances import METHODS, UNDECIDED, explain_importances, thin
from mlflow_ext.tuning.journal import quiet_optuna
from mlflow_ext.tuning.leaderboard import find_best, metric_names

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from optuna.trial import FrozenTrial

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font-family: sans-serif; margin: 1em; }} p {{ color: #666; }}
.wide {{ overflow-x: auto; }}</style>
<script>{plotly}</script></head>
<body><h1>{title}</h1>
{sections}
</body>
</html>
"""
# More would take minutes and gigabytes: contours grow with the square of the trials.
FEW, LINES, BARS = 80, 1_000, 1_000
CONTOUR_PARAMETERS, SLICES, AXES, SHARES = 3, 6, 10, 20
DPI = 110


@dataclass(frozen=True)
class View:
    """One objective of a study, as plots and report look at it; what takes long is done once."""

    study: optuna.Study
    objective: int
    metric: str
    """What its values are called."""

    @cached_property
    def importances(self) -> dict[str, dict[str, float] | str]:
        """Method -> the share of each parameter, largest first, or why it is not known."""
        return {
            method: explain_importances(self.study, method, self.objective) for method in METHODS
        }

    @property
    def parameters(self) -> list[str]:
        """All parameters, those first that set the best trials apart."""
        trials = self.study.get_trials(deepcopy=False)
        names = list(dict.fromkeys(name for trial in trials for name in trial.params))
        shares = self.importances["PED-ANOVA"]
        return names if isinstance(shares, str) else sorted(names, key=lambda n: -shares.get(n, 0))

    @property
    def options(self) -> dict[str, Any]:
        """What tells Optuna which objective to draw."""
        several = len(self.study.directions) > 1
        return {"target_name": self.metric} | ({"target": self._value} if several else {})

    def _value(self, trial: FrozenTrial) -> float:
        return float(trial.values[self.objective])


def view_objectives(study: optuna.Study) -> list[View]:
    """Look at every objective of *study*, a study with any number of finished trials."""
    return [View(study, number, name) for number, name in enumerate(metric_names(study))]


Draw = Callable[[Any, View], Any]
"""Takes `optuna.visualization`, or the part of it for matplotlib; returns what that returns."""


def draw_page(views: Sequence[View]) -> str:
    """Draw every plot of a study on one HTML page.

    Args:
        views: What `view_objectives` returned.

    Returns:
        The page. A plot that the trials do not allow is replaced by the reason.
    """
    from optuna import visualization
    from plotly.offline import get_plotlyjs

    sections = []
    for title, (draw, view) in _plots(views).items():
        figure, reason = _attempt(draw, visualization, view)
        content = f"<p>Not drawn: {html.escape(reason)}</p>" if reason else _embed(figure)
        sections.append(f"<h2>{html.escape(title)}</h2>\n{content}")
    name = html.escape(f"Study {views[0].study.study_name}")
    return PAGE.format(title=name, plotly=get_plotlyjs(), sections="\n".join(sections))


def draw_pictures(views: Sequence[View]) -> dict[str, bytes]:
    """Draw every plot of a study that its trials allow.

    Args:
        views: What `view_objectives` returned.

    Returns:
        Name of the plot, fit for a file -> the picture as PNG.
    """
    import numpy as np
    from optuna.visualization import matplotlib as visualization

    pictures = {}
    with _borrowed_pyplot():
        for title, (draw, view) in _plots(views).items():
            axes, reason = _attempt(draw, visualization, view)
            if not reason:
                pictures[_file_name(title)] = _save(np.atleast_1d(axes))
    return pictures


def _embed(figure: Any) -> str:
    responsive = {"responsive": True}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=responsive)
    return f'<div class="wide">{drawn}</div>'


def _save(axes: np.ndarray) -> bytes:
    from matplotlib import pyplot

    picture, figure = io.BytesIO(), axes.flat[0].figure
    if axes.ndim == 2:  # Optuna squeezes a grid into the size of one plot
        figure.set_size_inches(11, 10)
        figure.subplots_adjust(hspace=0.3, wspace=0.35)
    figure.savefig(picture, format="png", dpi=DPI, bbox_inches="tight")
    pyplot.close(figure)
    return picture.getvalue()


@contextmanager
def _borrowed_pyplot() -> Iterator[None]:
    """Let Optuna use pyplot; leave style, figures and windows of its owner as they were."""
    import matplotlib
    from matplotlib import pyplot

    backend, before = matplotlib.get_backend(), set(pyplot.get_fignums())
    pyplot.switch_backend("agg")  # Optuna measures its bars with it; others open windows
    with pyplot.rc_context(), pyplot.ioff(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of layouts that are a little too tight
        try:
            yield
        finally:
            for number in set(pyplot.get_fignums()) - before:
                pyplot.close(number)
            pyplot.switch_backend(backend)


def _attempt(draw: Draw, library: Any, view: View) -> tuple[Any, str]:
    """Draw a plot, or say why there is none."""
    if draw is not _draw_timeline and find_best(view.study) is None:
        return None, "no trial has completed with a finite value"
    try:
        with quiet_optuna():
            return draw(library, view), ""
    except UNDECIDED as error:
        return None, str(error)


def _plots(views: Sequence[View]) -> dict[str, tuple[Draw, View]]:
    """Title -> how it is drawn, and from what; plots of one objective once for each."""
    several = len(views) > 1
    plots: dict[str, tuple[Draw, View]] = {}
    if several:
        plots["Pareto front"] = (_draw_front, views[0])
    for view in views:
        suffix = f": {view.metric}" * several
        plots |= {f"{title}{suffix}": (draw, view) for title, draw in OF_ONE.items()}
    return plots | {"Timeline": (_draw_timeline, views[0])}


def _draw_importances(method: str) -> Draw:
    def draw(library: Any, view: View) -> Any:
        shares = view.importances[method]
        if isinstance(shares, str):
            raise ValueError(shares)
        few = thin(view.study, FEW)  # Optuna copies all trials for each bar
        known = {name for trial in few.get_trials(deepcopy=False) for name in trial.params}
        largest = dict(islice(((n, s) for n, s in shares.items() if n in known), SHARES))
        return library.plot_param_importances(few, evaluator=_known(largest), **view.options)

    return draw


def _known(shares: Mapping[str, float]) -> Any:
    """Say importances again that have been measured."""
    from optuna.importance import BaseImportanceEvaluator

    class Known(BaseImportanceEvaluator):
        def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
            return dict(shares)

    return Known()


def _draw_history(library: Any, view: View) -> Any:
    return library.plot_optimization_history(view.study, **view.options)


def _draw_parallel(library: Any, view: View) -> Any:
    few = thin(view.study, LINES)
    return library.plot_parallel_coordinate(few, view.parameters[:AXES], **view.options)


def _draw_slices(library: Any, view: View) -> Any:
    return library.plot_slice(view.study, view.parameters[:SLICES], **view.options)


def _draw_contours(library: Any, view: View) -> Any:
    few = thin(view.study, FEW)
    tried = {name: set[str]() for name in view.parameters}
    for trial in few.get_trials(deepcopy=False):
        for name, value in trial.params.items():
            tried[name].add(repr(value))
    varied = [name for name, values in tried.items() if len(values) > 1]
    if len(varied) < 2:
        raise ValueError("a contour needs two parameters that were varied")
    return library.plot_contour(few, varied[:CONTOUR_PARAMETERS], **view.options)


def _draw_distribution(library: Any, view: View) -> Any:
    return library.plot_edf(view.study, **view.options)


def _draw_timeline(library: Any, view: View) -> Any:
    if not view.study.get_trials(deepcopy=False):
        raise ValueError("no trial has begun")
    return library.plot_timeline(view.study, n_recent_trials=BARS)


def _draw_front(library: Any, view: View) -> Any:
    return library.plot_pareto_front(view.study, target_names=list(metric_names(view.study)))


OF_ONE: dict[str, Draw] = {
    "History": _draw_history,
    "Importances by fANOVA": _draw_importances("fANOVA"),
    "Importances by PED-ANOVA": _draw_importances("PED-ANOVA"),
    "Parallel coordinates": _draw_parallel,
    "Slices": _draw_slices,
    "Contours": _draw_contours,
    "Distribution": _draw_distribution,
}


def _file_name(title: str) -> str:
    """Turn the title of a plot into a name that any file system takes.

    >>> _file_name("Importances by fANOVA: roc_auc")
    'importances-by-fanova-roc_auc'
    """
    words = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in title)
    return "-".join(words.lower().split())
