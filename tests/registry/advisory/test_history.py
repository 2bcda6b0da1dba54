"""Transitions survive their tags, and history says what to go back to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.errors import ModelNotFoundError, RegistryStateError
from mlflow_ext.records import Action, Transition
from mlflow_ext.registry.advisory.history import (
    TAG_LIMIT,
    last_good,
    read_history,
    read_transition,
    transition_key,
    write_transition,
)


def make_transition(version, action=Action.PROMOTE, to_stage="Production", **fields):
    defaults = {
        "model": "delay",
        "from_stage": "Staging",
        "actor": "ann@desk",
        "reason": "better",
        "time_ms": 1,
    }
    return Transition(**defaults | fields, version=version, action=action, to_stage=to_stage)


@given(st.text(), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_a_transition_survives_its_tag(reason, gates):
    step = make_transition(3, reason=reason, gates=gates, replaced=2)
    assert read_transition(write_transition(step), "tag") == step


@pytest.mark.parametrize("letter", ["a", "é", "\n", '"', "🛫"])
def test_a_reason_too_long_for_a_tag_is_cut_and_everything_else_is_kept(letter):
    step = make_transition(3, reason=letter * 100_000, replaced=2)
    text = write_transition(step)
    kept = read_transition(text, "tag")
    assert len(text) <= TAG_LIMIT
    assert kept.reason.endswith(f"{letter}…")
    assert (kept.version, kept.replaced, kept.actor) == (3, 2, "ann@desk")


@given(st.lists(st.integers(1, 4), max_size=20))
def test_last_good_is_what_the_version_in_production_replaced(moves):
    """A move to 4 is a rollback; any other promotes that version, unless it is there already."""
    history, held = [], []
    for move in moves:
        if move == 4 and len(held) > 1:
            replaced = held.pop()
            history.append(make_transition(held[-1], Action.ROLLBACK, replaced=replaced))
        elif move != 4 and held[-1:] != [move]:
            history.append(make_transition(move, replaced=held[-1] if held else None))
            held.append(move)
        expected = held[-2] if len(held) > 1 else None
        assert last_good(history, {1, 2, 3} - set(held[-1:])) == expected


def test_last_good_skips_a_version_that_is_gone():
    history = [make_transition(1), make_transition(2, replaced=1), make_transition(3, replaced=2)]
    assert last_good(history, {1}) == 1


def test_last_good_knows_a_version_that_went_live_without_a_record():
    assert last_good([make_transition(2, replaced=1)], {1}) == 1


def test_staging_and_archive_do_not_count_as_having_been_good():
    history = [
        make_transition(1, to_stage="Staging"),
        make_transition(2),
        make_transition(1, Action.ARCHIVE, to_stage="Archived"),
    ]
    assert last_good(history, {1, 3}) is None


def test_history_is_read_over_all_versions_oldest_first(shop):
    shop.add_model(2)
    steps = [
        make_transition(2, time_ms=999),
        make_transition(1, time_ms=1_700_000_000_000),
        make_transition(2, Action.ARCHIVE, to_stage="Archived", time_ms=1_700_000_000_000),
    ]
    for step in reversed(steps):
        shop.client.set_model_version_tag(
            "delay", str(step.version), transition_key(step), write_transition(step)
        )
    assert read_history(shop.client, "delay") == tuple(steps)


def test_an_edited_record_is_named_with_its_tag_and_version(shop):
    shop.add_model(1)
    key = transition_key(make_transition(1))
    shop.client.set_model_version_tag("delay", "1", key, "I was here")
    with pytest.raises(RegistryStateError, match=f"tag {key} of version 1 .*: I was here"):
        read_history(shop.client, "delay")


def test_an_unknown_model_is_an_error_that_names_the_known_ones(shop):
    shop.add_model(0, "other")
    with pytest.raises(ModelNotFoundError, match=r"model 'delay' .*\n.*one of other"):
        read_history(shop.client, "delay")
