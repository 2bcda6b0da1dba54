"""Expectations in short words, the same whichever engine judged them."""

from __future__ import annotations

from typing import Any

# The kinds of what is compared; one that is not here is shown as its arguments.
SUBJECTS = {
    "expect_column_values_to_be_between": "{column}",
    "expect_column_value_lengths_to_be_between": "length of {column}",
    "expect_column_mean_to_be_between": "mean of {column}",
    "expect_column_median_to_be_between": "median of {column}",
    "expect_column_stdev_to_be_between": "standard deviation of {column}",
    "expect_column_sum_to_be_between": "sum of {column}",
    "expect_column_min_to_be_between": "smallest {column}",
    "expect_column_max_to_be_between": "largest {column}",
    "expect_column_unique_value_count_to_be_between": "distinct values of {column}",
    "expect_column_proportion_of_unique_values_to_be_between": "share of distinct {column}",
    "expect_column_proportion_of_non_null_values_to_be_between": "share of {column} that is there",
    "expect_table_row_count_to_be_between": "rows",
    "expect_table_column_count_to_be_between": "columns",
}
SENTENCES = {
    "expect_column_values_to_not_be_null": "{column} is there",
    "expect_column_values_to_be_null": "{column} is missing",
    "expect_column_values_to_be_in_set": "{column} in {value_set}",
    "expect_column_values_to_not_be_in_set": "{column} not in {value_set}",
    "expect_column_values_to_match_regex": "{column} matches {regex}",
    "expect_column_values_to_not_match_regex": "{column} does not match {regex}",
    "expect_column_values_to_match_regex_list": "{column} matches {match_on} of {regex_list}",
    "expect_column_values_to_not_match_regex_list": "{column} matches none of {regex_list}",
    "expect_column_value_lengths_to_equal": "length of {column} = {value}",
    "expect_column_values_to_be_of_type": "{column} is of type {type_}",
    "expect_column_values_to_be_in_type_list": "{column} is of a type in {type_list}",
    "expect_column_values_to_be_unique": "{column} is unique",
    "expect_compound_columns_to_be_unique": "{column_list} is unique",
    "expect_select_column_values_to_be_unique_within_record": "{column_list} differ in a row",
    "expect_column_pair_values_to_be_equal": "{column_A} = {column_B}",
    "expect_column_pair_values_to_be_in_set": "({column_A}, {column_B}) in {value_pairs_set}",
    "expect_column_distinct_values_to_be_in_set": "every {column} in {value_set}",
    "expect_column_distinct_values_to_contain_set": "{column} takes all of {value_set}",
    "expect_column_distinct_values_to_equal_set": "{column} takes all of {value_set}, no other",
    "expect_column_to_exist": "column {column}",
    "expect_table_row_count_to_equal": "rows = {value}",
    "expect_table_column_count_to_equal": "columns = {value}",
    "expect_table_columns_to_match_set": "columns {column_set}, in any order",
    "expect_table_columns_to_match_ordered_list": "columns {column_list}, in this order",
}
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
QUANTILES = "expect_column_quantile_values_to_be_between"


def say(config: dict[str, Any]) -> str:
    """Say an expectation in words, or as its arguments where there are no words for its type.

    >>> say({"type": "expect_column_mean_to_be_between", "kwargs": {"column": "x", "max_value": 2}})
    'mean of x <= 2'
    """
    kind, kwargs = config["type"], config["kwargs"]
    mostly = kwargs.get("mostly")
    often = f", in {100 * mostly:.6g} % of the rows or more" if mostly not in (None, 1) else ""
    return _sentence(kind, kwargs) + often


def _sentence(kind: str, kwargs: dict[str, Any]) -> str:
    words = {"match_on": "any"} | {key: _shown(value) for key, value in kwargs.items()}
    if kind in SUBJECTS:
        return SUBJECTS[kind].format(**words) + " " + _bounds(kwargs)
    if kind in SENTENCES:
        return SENTENCES[kind].format(**words)
    if kind == GREATER:
        sign = ">=" if kwargs.get("or_equal") else ">"
        return f"{kwargs['column_A']} {sign} {kwargs['column_B']}"
    if kind == QUANTILES:
        return f"quantiles of {kwargs['column']}: {_quantiles(kwargs['quantile_ranges'])}"
    hidden = ("batch_id", "column", "row_condition", "mostly")
    return ", ".join(f"{key} {_shown(value)}" for key, value in kwargs.items() if key not in hidden)


def _bounds(kwargs: dict[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    above = ">" if kwargs.get("strict_min") else ">="
    below = "<" if kwargs.get("strict_max") else "<="
    parts = [(above, low), (below, high)]
    return " and ".join(f"{sign} {_shown(end)}" for sign, end in parts if end is not None)


def _quantiles(ranges: dict[str, Any]) -> str:
    pairs = zip(ranges["quantiles"], ranges["value_ranges"], strict=False)
    return ", ".join(f"{share} in [{_shown(low)}, {_shown(high)}]" for share, (low, high) in pairs)


def _shown(value: Any) -> str:
    """Show whole floats as Great Expectations was given them: it makes 5.0 of 5."""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else "null" if value is None else str(value)
