"""Studies are found and described by whoever may only read."""

import math
from dataclasses import replace

import optuna
import pytest
from tiny_study import SEARCH

from mlflow_ext.errors import SearchError, StoreUnreachableError, UnknownNameError
from mlflow_ext.tuning.catalog import find_study, list_studies
from mlflow_ext.tuning.journal import journal_file, open_study


def run(folder, name, *values, **changes):
    study = open_study(replace(SEARCH, **changes), name, folder)
    for value in values:
        study.tell(study.ask(), value)
    return study


def test_every_study_of_a_folder_is_described_the_latest_first(tmp_path):
    run(tmp_path, "first", 0.5, 0.75)
    run(tmp_path, "late flights?", 0.25, 0.125, direction="minimize", metric="brier")
    latest, first = list_studies(str(tmp_path))

    assert (first.name, first.trials) == ("first", {"complete": 2})
    assert (first.best, first.best_trial) == ({"roc_auc": 0.75}, 1)
    assert (latest.name, latest.best) == ("late flights?", {"brier": 0.125})
    assert first.begun_ms <= first.ended_ms <= latest.begun_ms
    assert first.search == "LogisticRegression(slope, scale, power, kind)"


def test_a_study_without_a_usable_trial_has_no_best(tmp_path):
    run(tmp_path, "begun")
    run(tmp_path, "infinite", math.inf)
    summaries = {summary.name: summary for summary in list_studies(str(tmp_path))}

    assert (summaries["begun"].best, summaries["begun"].begun_ms) == ({}, None)
    assert (summaries["infinite"].best, summaries["infinite"].best_trial) == ({}, None)


def test_reading_writes_nothing(tmp_path):
    run(tmp_path, "study", 0.5)
    with journal_file("study", tmp_path).open("ab") as file:
        file.write(b'{"op_code": 4, "torn')
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    assert len(find_study(str(tmp_path), "study").trials) == 1
    assert len(list_studies(str(tmp_path))) == 1
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_journal_that_others_named_is_found_too(tmp_path):
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "mine.journal"))
    storage = optuna.storages.JournalStorage(backend)
    for name in ("one", "two"):
        study = optuna.create_study(storage=storage, study_name=name)
        study.tell(study.ask(), 2.0)

    assert find_study(str(tmp_path), "two").best_value == 2.0
    assert {summary.search for summary in list_studies(str(tmp_path))} == {
        "begun without mlflow_ext"
    }


def test_an_unknown_study_is_told_with_the_nearest_name(tmp_path):
    run(tmp_path, "late-flights")
    with pytest.raises(UnknownNameError, match="write 'late-flights' instead of 'late-fligths'"):
        find_study(str(tmp_path), "late-fligths")


@pytest.mark.parametrize(
    "line",
    [b"not json", b"[]", b"{}", b"\xff\xfe", b'{"op_code": 99}', b'{"op_code": 5, "worker_id": 1}'],
)
def test_a_damaged_journal_is_told_and_hides_no_other(tmp_path, line):
    run(tmp_path, "whole", 0.5)
    run(tmp_path, "broken", 0.5)
    file = journal_file("broken", tmp_path)
    file.write_bytes(line + b"\n" + file.read_bytes())
    summaries = {summary.name: summary for summary in list_studies(str(tmp_path))}

    assert summaries.pop("whole").problem == ""
    (broken,) = summaries.values()
    assert broken.name == file.stem
    assert "is damaged" in broken.problem
    with pytest.raises(SearchError, match="is damaged"):
        find_study(str(tmp_path), "broken")
    assert find_study(str(tmp_path), "whole").best_value == 0.5


def test_what_cannot_be_opened_hides_no_other_study(tmp_path):
    run(tmp_path, "well", 0.5)
    (tmp_path / "a.journal").mkdir()
    well, ill = list_studies(str(tmp_path))

    assert (well.name, well.problem) == ("well", "")
    assert (ill.name, "directory" in ill.problem) == ("a", True)
    assert len(find_study(str(tmp_path), "well").trials) == 1


def test_a_database_that_does_not_answer_is_quoted():
    with pytest.raises(StoreUnreachableError, match="refused") as error:
        list_studies("postgresql+psycopg2://me:secret@127.0.0.1:1/studies")
    assert "secret" not in str(error.value)


def test_a_place_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StoreUnreachableError, match="there is no such folder"):
        list_studies(str(tmp_path / "nowhere"))
    with pytest.raises(StoreUnreachableError, match=r"me:\*\*\*@127.0.0.1"):
        list_studies("postgresql+psycopg2://me:secret@127.0.0.1:1/none")


def test_a_database_is_a_place_too(tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    run(tmp_path, "shared", 0.5, storage=url)

    assert [summary.name for summary in list_studies(url)] == ["shared"]
    assert find_study(url, "shared").best_value == 0.5
    with pytest.raises(UnknownNameError, match="'shared'"):
        find_study(url, "shard")
