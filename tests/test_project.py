"""project.yaml: what is accepted, and how each mistake is told."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.errors import ProjectFileError, WindowError
from mlflow_ext.project import Split, load_project, month_range, project_digest

SHIPPED = Path(__file__).resolve().parent.parent / "project.yaml"

MISTAKES = {
    "unknown key": ("threshold: 0.67", "treshold: 0.67", "rename it to 'threshold'"),
    "unknown key in a range": ("low: 0.05", "lo: 0.02", "rename it to 'low'"),
    "unknown key at the top": ("goal: >-", "gaol: >-", "rename it to 'goal'"),
    "wrong type": ("seed: 0", "seed: zero", "valid integer"),
    "number as text": ("threshold: 0.67", "threshold: '0.67'", "valid number"),
    "below the minimum": ("n_trials: 12", "n_trials: 0", "greater than or equal to 1"),
    "no month": ("first: 2013-01", "first: 2013-13", "pattern"),
    "range upside down": ("low: 0.05", "low: 2.0", "low 2.0 must be below high 0.3"),
    "log of zero": ("low: 0.05", "low: 0.0", "a log range needs low > 0"),
    "unknown kind of range": ("type: int, low: 30", "type: integer, low: 30", "'float', 'int'"),
    "shared alias": ("alias: challenger", "alias: Champion", "share one alias"),
    "leaking feature": ("[carrier, origin, engine]", "[carrier, dep_time]", "only after the event"),
    "target as feature": ("[carrier, origin, engine]", "[carrier, late]", "among the features"),
    "fixed and searched": ("fixed: {", "fixed: {max_iter: 3, ", "both fixed and searched"),
    "shrinking fractions": ("fractions: [0.1, 0.3", "fractions: [0.3, 0.1", "must grow"),
    "not yaml": ("name: flight-delay", "name: [flight", "valid YAML"),
}


def write_changed(tmp_path, old, new):
    text = SHIPPED.read_text()
    assert old in text
    file = tmp_path / "project.yaml"
    file.write_text(text.replace(old, new, 1))
    return file


def test_shipped_project_is_read_into_frozen_values():
    project = load_project(SHIPPED)
    assert project.promotion.stages["Production"].alias == "champion"
    assert project.search.space["learning_rate"].log is True
    with pytest.raises(AttributeError):
        project.name = "other"


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_one_error_with_file_line_and_mend(tmp_path, old, new, expected):
    file = write_changed(tmp_path, old, new)
    with pytest.raises(ProjectFileError) as caught:
        load_project(file)
    assert expected in str(caught.value)
    assert f"{file}:{caught.value.line}:" in str(caught.value)


def test_error_points_at_the_line_of_the_key(tmp_path):
    file = write_changed(tmp_path, "threshold: 0.30", "treshold: 0.30")
    with pytest.raises(ProjectFileError) as caught:
        load_project(file)
    assert "treshold: 0.30" in file.read_text().splitlines()[caught.value.line - 1]


@pytest.mark.parametrize("key", sorted(yaml.safe_load(SHIPPED.read_text())))
def test_missing_top_level_key_is_named(tmp_path, key):
    values = yaml.safe_load(SHIPPED.read_text())
    del values[key]
    file = tmp_path / "project.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(ProjectFileError, match=f"missing key '{key}'"):
        load_project(file)


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just text"])
def test_file_that_is_no_mapping_is_refused(tmp_path, content):
    file = tmp_path / "project.yaml"
    file.write_text(content)
    with pytest.raises(ProjectFileError):
        load_project(file)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(ProjectFileError, match=r"nowhere\.yaml"):
        load_project(tmp_path / "nowhere.yaml")


def test_digest_ignores_comments_and_sees_values(tmp_path):
    commented = tmp_path / "project.yaml"
    commented.write_text("# a comment\n" + SHIPPED.read_text())
    changed = write_changed(tmp_path / ".." / tmp_path.name, "threshold: 0.67", "threshold: 0.68")
    assert project_digest(changed) != project_digest(SHIPPED)
    commented.write_text("# a comment\n" + SHIPPED.read_text())
    assert project_digest(commented) == project_digest(SHIPPED)


def test_windows_keep_the_last_months_back():
    windows = Split(first="2013-01", validation_months=1, holdout_months=1).windows("2013-06")
    assert windows.train == ("2013-01", "2013-02", "2013-03", "2013-04")
    assert windows.validation == ("2013-05",)
    assert windows.holdout == ("2013-06",)


@given(
    through=st.sampled_from(month_range("2012-01", "2016-12")),
    validation=st.integers(1, 5),
    holdout=st.integers(1, 5),
)
def test_windows_cover_every_month_once_or_are_refused(through, validation, holdout):
    split = Split(first="2013-01", validation_months=validation, holdout_months=holdout)
    months = month_range("2013-01", through)
    if len(months) <= validation + holdout:
        with pytest.raises(WindowError, match="leaves no month to train on"):
            split.windows(through)
    else:
        windows = split.windows(through)
        assert windows.all == months
        assert (len(windows.validation), len(windows.holdout)) == (validation, holdout)


@pytest.mark.parametrize("month", ["2013-13", "2013-0", "June", "13-06", "2013-06-01", ""])
def test_what_is_no_month_is_refused(month):
    with pytest.raises(WindowError, match="is no month"):
        month_range("2013-01", month)
