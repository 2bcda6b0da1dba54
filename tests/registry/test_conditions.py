"""Freeze windows against a second, slower way to find them, over the nights when clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.registry.conditions import find_freeze
from mlflow_ext.registry.rules import FreezeWindow

BERLIN = ZoneInfo("Europe/Berlin")


def at(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def is_frozen_slowly(hour, minute, lasts, now_ms):
    """Walk over the days around *now_ms* on the clock of Berlin."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    days = [(now + timedelta(days=n)).date() for n in range(-4, 3)]
    starts = [datetime(d.year, d.month, d.day, hour, minute, tzinfo=BERLIN) for d in days]
    return any(start.astimezone(UTC) <= now < start.astimezone(UTC) + lasts for start in starts)


@given(
    st.integers(at("2026-01-01T00:00:00Z") // 1000, at("2027-01-01T00:00:00Z") // 1000)
    | st.integers(at("2026-10-24T20:00:00Z") // 1000, at("2026-10-25T06:00:00Z") // 1000),
    st.integers(3, 25).map(lambda hour: hour % 24),  # 2 o'clock does not exist in one night
    st.integers(0, 59),
    st.integers(1, 60),
)
def test_every_moment_of_a_year_is_frozen_when_a_walk_over_its_days_says_so(
    now, hour, minute, hours
):
    window = FreezeWindow(
        starts=f"{minute} {hour} * * *", lasts=f"{hours}h", timezone="Europe/Berlin"
    )
    is_frozen = find_freeze(window, now * 1000) is not None
    assert is_frozen == is_frozen_slowly(hour, minute, timedelta(hours=hours), now * 1000)


@pytest.mark.parametrize(
    ("now", "is_frozen"),
    [
        ("2026-10-25T02:14:59+02:00", False),
        ("2026-10-25T02:15:00+02:00", True),
        ("2026-10-25T02:10:00+01:00", True),
        ("2026-10-25T03:14:59+01:00", True),
        ("2026-10-25T03:15:00+01:00", False),
    ],
)
def test_in_the_night_that_shows_an_hour_twice_a_freeze_begins_once(now, is_frozen):
    window = FreezeWindow(starts="15 2 * * *", lasts="2h", timezone="Europe/Berlin")
    assert (find_freeze(window, at(now)) is not None) == is_frozen


def test_a_freeze_is_found_soon_however_often_it_begins_and_long_it_lasts():
    window = FreezeWindow(starts="* * * * *", lasts="99999d")
    assert find_freeze(window, at("2026-03-06T18:00:00Z")) is not None
