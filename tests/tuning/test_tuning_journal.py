"""One file per study, whatever its name, that survives crashes and refuses another search."""

import math
import multiprocessing
from dataclasses import replace

import optuna
import pytest
from tiny_study import NAME, SEARCH

from mlflow_ext.errors import SearchError, StoreUnreachableError
from mlflow_ext.project import Aim, Choices, Constraint, CrossValidation, FloatRange, IntRange
from mlflow_ext.tuning.attributes import DEFINITION, STUDY_ID
from mlflow_ext.tuning.backend import KernelLock
from mlflow_ext.tuning.catalog import find_study
from mlflow_ext.tuning.journal import (
    journal_file,
    keep_budget,
    open_study,
    quiet_optuna,
    read_search,
)

NAMES = [
    "a/b",
    "a b",
    "A B",
    "../a",
    "bob's study",
    "søk/日本",
    "日本",
    "x" * 300,
    "a\nb",
    '"; DROP',
]


def test_any_name_is_a_study_of_its_own_inside_the_folder(tmp_path):
    folder = tmp_path / "studies"
    for name in NAMES:
        study = open_study(SEARCH, name, folder)
        study.enqueue_trial({"slope": float(NAMES.index(name))})

    assert {journal_file(name, folder).parent for name in NAMES} == {folder}
    reopened = [open_study(SEARCH, name, folder) for name in NAMES]
    assert [study.study_name for study in reopened] == NAMES
    queued = [study.trials[0].system_attrs["fixed_params"]["slope"] for study in reopened]
    assert queued == list(range(len(NAMES)))
    assert [path.name for path in tmp_path.iterdir()] == ["studies"]


def test_a_study_without_a_name_is_refused(tmp_path):
    with pytest.raises(SearchError, match="name of the study is empty"):
        open_study(SEARCH, "", tmp_path)


def test_a_study_keeps_its_identity_and_another_of_the_same_name_has_its_own(tmp_path):
    first = open_study(SEARCH, NAME, tmp_path / "a").user_attrs[STUDY_ID]

    assert open_study(SEARCH, NAME, tmp_path / "a").user_attrs[STUDY_ID] == first
    assert open_study(SEARCH, NAME, tmp_path / "b").user_attrs[STUDY_ID] != first


def test_a_line_that_was_never_finished_costs_only_itself(tmp_path):
    study = open_study(SEARCH, NAME, tmp_path)
    study.enqueue_trial({"slope": 1.0})
    with journal_file(NAME, tmp_path).open("ab") as journal:
        journal.write(b'{"op_code":4,"worker_id":"f')

    reopened = open_study(SEARCH, NAME, tmp_path)
    reopened.enqueue_trial({"slope": 2.0})

    queued = [t.system_attrs["fixed_params"] for t in open_study(SEARCH, NAME, tmp_path).trials]
    assert queued == [{"slope": 1.0}, {"slope": 2.0}]


def test_a_damaged_journal_is_an_error_that_names_the_file(tmp_path):
    open_study(SEARCH, NAME, tmp_path)
    file = journal_file(NAME, tmp_path)
    file.write_bytes(b"garbage\n" + file.read_bytes())

    with pytest.raises(SearchError, match="damaged") as error:
        open_study(SEARCH, NAME, tmp_path)
    assert str(file) in error.value.found


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(StoreUnreachableError, match="study journal"):
        open_study(SEARCH, NAME, tmp_path / "file" / "studies")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 4),
        ("direction", "minimize"),
        ("fractions", (0.5, 1.0)),
        ("fixed", {"C": 1.0}),
        ("space", {**SEARCH.space, "slope": FloatRange(type="float", low=-3.0, high=2.0)}),
        ("space", {key: SEARCH.space[key] for key in ("slope", "scale")}),
    ],
)
def test_another_search_under_the_same_name_is_refused_and_the_difference_shown(
    tmp_path, key, value
):
    open_study(SEARCH, NAME, tmp_path)

    with pytest.raises(SearchError, match=r"begun with another search") as error:
        open_study(replace(SEARCH, **{key: value}), NAME, tmp_path)
    assert key in error.value.found
    assert f"{NAME}-2" in error.value.fix
    assert "to extend it" in error.value.expected


def test_the_difference_is_shown_with_what_was_and_what_is(tmp_path):
    open_study(SEARCH, NAME, tmp_path)
    slope = FloatRange(type="float", low=-2.0, high=3.0)
    other = replace(SEARCH, space={"slope": slope}, sampler="random")

    with pytest.raises(SearchError) as error:
        open_study(other, NAME, tmp_path)
    found = error.value.found
    assert "sampler was tpe, is random" in found
    assert "space.slope was {'type': 'float', 'low': -2.0, 'high': 2.0}" in found
    assert "is {'type': 'float', 'low': -2.0, 'high': 3.0}" in found
    assert "space.kind was" in found
    assert "seed" not in found.partition("another search:")[2]


def test_a_search_that_holds_what_equals_nothing_goes_on_and_tells_another(tmp_path):
    search = replace(SEARCH, fixed={"missing": math.nan, "deep": [{"b": 1, "a": math.nan}]})
    study = open_study(search, NAME, tmp_path)
    keep_budget(study, search)

    again = replace(SEARCH, fixed={"deep": [{"a": float("nan"), "b": 1}], "missing": float("nan")})
    assert open_study(again, NAME, tmp_path).study_name == NAME
    assert open_study(read_search(study), NAME, tmp_path).study_name == NAME
    with pytest.raises(SearchError, match="fixed was"):
        open_study(replace(search, fixed={"missing": 0.0}), NAME, tmp_path)


def test_more_trials_and_more_time_are_no_other_search(tmp_path):
    open_study(SEARCH, NAME, tmp_path)
    longer = open_study(replace(SEARCH, n_trials=500, timeout=9.0, workers=4), NAME, tmp_path)

    assert longer.study_name == NAME


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timeout": 9.5, "n_trials": 300, "sampler": "random", "pruner": "none"},
        {
            "fixed": {"C": 1.0},
            "enqueue": ({"slope": 1.0},),
            "constraints": (Constraint(metric="brier", max=0.5),),
        },
        {
            "objectives": (Aim(metric="brier", direction="minimize"),),
            "pruner": "none",
            "sampler": "nsga2",
            "cv": CrossValidation(folds=3),
        },
        {
            "space": {
                "space.kind": Choices(type="categorical", choices=("a", None, 1.5)),
                "b": IntRange(type="int", low=1, high=9, when={"space.kind": ("a", None)}),
            }
        },
    ],
)
def test_the_search_can_be_read_from_the_study_alone(tmp_path, changes):
    search = replace(SEARCH, **changes)
    study = open_study(search, NAME, tmp_path)
    keep_budget(study, search)

    assert read_search(find_study(str(tmp_path), NAME)) == search


def test_a_study_that_holds_no_search_of_ours_has_none_to_read():
    study = optuna.create_study()
    assert read_search(study) is None
    study.set_user_attr(DEFINITION, {"estimator": "x", "of a later release": 1})
    assert read_search(study) is None


def test_optuna_is_as_loud_after_a_study_as_before():
    before = optuna.logging.get_verbosity()
    with quiet_optuna():
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    assert optuna.logging.get_verbosity() == before


def hold_and_die(file, held):
    KernelLock(file).acquire()
    held.set()
    multiprocessing.Event().wait()


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    holder = spawn.Process(target=hold_and_die, args=(tmp_path / "x.lock", held))
    holder.start()
    assert held.wait(60)
    holder.kill()
    holder.join()

    assert KernelLock(tmp_path / "x.lock").acquire() is True
