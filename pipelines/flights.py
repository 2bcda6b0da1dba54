"""What is particular about the flights data: clocks, joins and the label. Pure pandas."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

CLOCK = "America/New_York"
LATE_AFTER = 15.0
"""Minutes after the scheduled arrival from which a flight counts as late."""
WEATHER_LAG = pd.Timedelta(hours=1)
"""The last full hour before departure: the weather of the departure hour is not known yet."""


def parse_hours(frame: pd.DataFrame) -> pd.DataFrame:
    """Return *frame* with ``time_hour`` as UTC timestamps (µs)."""
    hours = pd.to_datetime(frame["time_hour"], utc=True).astype("datetime64[us, UTC]")
    return frame.assign(time_hour=hours)


def month_of(hours: pd.Series) -> pd.Series[str]:
    """Return the New York month ``YYYY-MM`` of each UTC timestamp."""
    months: pd.Series[str] = hours.dt.tz_convert(CLOCK).dt.strftime("%Y-%m").astype("str")
    return months


def select_months(frame: pd.DataFrame, months: Collection[str]) -> pd.DataFrame:
    """Return the rows of *frame* whose ``time_hour`` lies in one of *months*, renumbered."""
    return frame[month_of(frame["time_hour"]).isin(list(months))].reset_index(drop=True)


def build_features(
    flights: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame, airports: pd.DataFrame
) -> pd.DataFrame:
    """Join the four sources into one row per flown flight.

    Args:
        flights: Scheduled flights with ``time_hour`` in UTC; unflown ones have no ``arr_delay``.
        weather: Hourly weather, one row per (origin, time_hour).
        planes: One row per tailnum.
        airports: One row per airport code.

    Returns:
        One row per flown flight, in the order of *flights*, with the label ``late`` (0 or 1).
        Flights that were cancelled or diverted have no label and are left out.
    """
    flown = flights[flights["arr_delay"].notna()]
    known = _schedule(flown).assign(late=(flown["arr_delay"] > LATE_AFTER).astype("int64"))
    before = weather.assign(time_hour=weather["time_hour"] + WEATHER_LAG)
    joined = (
        known.merge(before, on=["origin", "time_hour"], how="left", validate="m:1")
        .merge(_fleet(planes), on="tailnum", how="left", validate="m:1")
        .merge(_destinations(airports), on="dest", how="left", validate="m:1")
    )
    year = joined["time_hour"].dt.tz_convert(CLOCK).dt.year
    age = (year - joined.pop("plane_year")).clip(lower=0).astype("float64")
    return joined.assign(plane_age=age)


def _schedule(flown: pd.DataFrame) -> pd.DataFrame:
    """Only what the timetable knows: nothing that is measured on the day of the flight."""
    day = pd.to_datetime(flown[["year", "month", "day"]])
    kept = flown[["time_hour", "flight", "carrier", "origin", "dest", "tailnum"]]
    return kept.assign(
        month=month_of(flown["time_hour"]),
        departure_minute=_minute_of_day(flown["sched_dep_time"]),
        arrival_minute=_minute_of_day(flown["sched_arr_time"]),
        day_of_week=day.dt.day_of_week.astype("int64"),
        distance=flown["distance"].astype("float64"),
    )


def _minute_of_day(clock: pd.Series) -> pd.Series:
    """Turn 24-hour clock readings such as 1345 into minutes since midnight (825)."""
    return (clock // 100 * 60 + clock % 100).astype("int64") % 1440


def _fleet(planes: pd.DataFrame) -> pd.DataFrame:
    fleet = planes.rename(columns={"year": "plane_year"})
    return fleet.assign(seats=fleet["seats"].astype("float64"))


def _destinations(airports: pd.DataFrame) -> pd.DataFrame:
    names = {"faa": "dest", "lat": "dest_lat", "lon": "dest_lon", "alt": "dest_alt"}
    renamed = airports.rename(columns=names)
    return renamed.assign(dest_alt=renamed["dest_alt"].astype("float64"))
