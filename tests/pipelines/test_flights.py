"""The flights join: clocks, the weather that is known, and no column from the future."""

from pathlib import Path

import pandas as pd
import pytest

from mlflow_ext.data.sources import read_source
from mlflow_ext.project import load_project
from pipelines.flights import build_features, month_of, parse_hours, select_months

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = load_project(ROOT / "project.yaml")


@pytest.fixture(scope="module")
def sources():
    return {
        name: read_source(name, source.location, source.columns, ROOT)
        for name, source in PROJECT.sources.items()
    }


@pytest.fixture(scope="module")
def january(sources):
    flights = select_months(parse_hours(sources["flights"]), ["2013-01"])
    return flights, parse_hours(sources["weather"]), sources["planes"], sources["airports"]


@pytest.fixture(scope="module")
def features(january):
    return build_features(*january)


def test_every_flown_flight_is_kept_once_and_no_other(january, features):
    flights = january[0]
    assert len(flights) == 27_004
    assert len(features) == int(flights["arr_delay"].notna().sum()) == 26_398


def test_label_is_late_by_more_than_fifteen_minutes(january, features):
    delays = january[0]["arr_delay"].dropna()
    assert features["late"].tolist() == (delays > 15).astype(int).tolist()


def test_no_column_known_only_afterwards_is_in_the_table(features):
    assert not set(features.columns) & set(PROJECT.features.known_afterwards)


def test_nothing_measured_on_the_day_can_change_a_feature(january, features):
    """Scrambling every column that is known afterwards leaves the features as they were."""
    flights, *others = january
    scrambled = flights.copy()
    for column in set(PROJECT.features.known_afterwards) - {"arr_delay"}:
        scrambled[column] = scrambled[column].to_numpy()[::-1]
    scrambled["arr_delay"] = scrambled["arr_delay"] * -3 + 7  # other delays, same flown flights
    rebuilt = build_features(scrambled, *others)
    columns = list(PROJECT.features.names)
    pd.testing.assert_frame_equal(rebuilt[columns], features[columns])


def test_weather_is_that_of_the_hour_before_departure(january, features):
    weather = january[1]
    row = features.iloc[5000]
    hour_before = row["time_hour"] - pd.Timedelta(hours=1)
    seen = weather[(weather["origin"] == row["origin"]) & (weather["time_hour"] == hour_before)]
    assert seen["temp"].item() == row["temp"]


def test_month_is_the_month_in_new_york_not_in_london():
    late_evening = pd.Series(pd.to_datetime(["2013-02-01T04:00:00Z"], utc=True))
    assert month_of(late_evening).tolist() == ["2013-01"]


def test_scheduled_times_are_minutes_of_the_day(features):
    first = features.iloc[0]  # 05:15 to 08:19
    assert (first["departure_minute"], first["arrival_minute"]) == (315, 499)
    assert features["departure_minute"].between(0, 1439).all()
    assert features["arrival_minute"].between(0, 1439).all()


def test_doubled_weather_row_is_refused_rather_than_doubling_flights(january):
    flights, weather, planes, airports = january
    doubled = pd.concat([weather, weather.iloc[[100]]])
    with pytest.raises(pd.errors.MergeError):
        build_features(flights, doubled, planes, airports)
