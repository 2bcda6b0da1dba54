"""Many comparisons at once: Holm beside its definition, and how often it is fooled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.evaluation.statistics.multiplicity import holm, simultaneous_level

P_VALUES = st.lists(st.floats(0, 1), max_size=30)


@given(P_VALUES, st.sampled_from([0.2, 0.05]))
def test_holm_finds_what_its_step_down_procedure_finds(p_values, alpha):
    found = set()
    for step, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        if p_values[place] * (len(p_values) - step) >= alpha:
            break
        found.add(place)
    assert set(np.flatnonzero(holm(p_values) < alpha).tolist()) == found


@given(P_VALUES)
def test_adjusted_values_lie_between_the_raw_ones_and_those_of_bonferroni(p_values):
    raw, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(raw * len(raw), 1) + 1e-12).all()


def test_fifty_equal_slices_rarely_hold_a_finding():
    p_values = np.random.default_rng(0).random((2_000, 50))
    assert (p_values < 0.05).any(axis=1).mean() > 0.9
    assert np.mean([(holm(p) < 0.05).any() for p in p_values]) == pytest.approx(0.05, abs=0.015)


def test_intervals_of_the_shared_level_hold_all_their_values_together():
    level = simultaneous_level(0.9, 20)
    misses = np.random.default_rng(0).random((5_000, 20)) > level
    assert (~misses.any(axis=1)).mean() == pytest.approx(0.905, abs=0.02)
    assert simultaneous_level(0.9, 1) == pytest.approx(0.9)
