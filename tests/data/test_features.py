"""The model object: what serving may send, and which training tables are refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from mlflow_ext.data.features import check_training_table, make_model, make_preprocessor
from mlflow_ext.errors import TableError

NUMERIC, CATEGORICAL = ["minute", "temp"], ["carrier", "engine"]
FEATURES = [*NUMERIC, *CATEGORICAL]
CLASSIFIERS = [
    LogisticRegression(),
    RandomForestClassifier(n_estimators=10, random_state=0),
    HistGradientBoostingClassifier(max_iter=10, random_state=0),
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """OpenMP threads wait for each other actively: beside other test workers that takes minutes."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    rows = 600
    table = pd.DataFrame(
        {
            "minute": random.integers(0, 1440, rows),
            "temp": random.normal(60, 15, rows),
            "carrier": random.choice(["UA", "AA", "B6", "OO"], rows, p=[0.4, 0.3, 0.295, 0.005]),
            "engine": random.choice(["jet", "prop"], rows),
        }
    )
    table.loc[::7, "temp"] = np.nan
    table.loc[::5, "engine"] = None
    chance = 0.2 + 0.4 * (table["carrier"] == "UA") + 0.3 * (table["minute"] > 900)
    table["late"] = (random.random(rows) < chance).astype(int)
    return table


@pytest.fixture(scope="module", params=CLASSIFIERS, ids=lambda c: type(c).__name__)
def model(request, frame):
    return make_model(NUMERIC, CATEGORICAL, clone(request.param), 0.3).fit(frame, frame["late"])


def probability(model, rows):
    return model.predict_proba(rows)[:, 1]


def test_any_classifier_learns_and_predicts_at_the_threshold_of_the_project(model, frame):
    late = probability(model, frame)
    assert late[frame["late"] == 1].mean() > late[frame["late"] == 0].mean() + 0.1
    assert np.array_equal(model.predict(frame), (late >= 0.3).astype(int))


def test_neither_order_nor_extra_columns_matter(model, frame):
    turned = frame[frame.columns[::-1]].assign(other="x")
    assert np.array_equal(probability(model, turned), probability(model, frame))


@pytest.mark.parametrize("dtype", ["float64", "int32", "Int64", "object"])
def test_whole_numbers_may_come_as_any_number(model, frame, dtype):
    cast = frame.astype({"minute": dtype})
    assert np.array_equal(probability(model, cast), probability(model, frame))


def test_every_kind_of_missing_category_is_the_same(model, frame):
    rows = frame.head(8).astype({"engine": "object"})
    answers = [
        probability(model, rows.assign(engine=pd.Series([nothing] * 8, dtype=dtype)))
        for nothing, dtype in [
            (None, "object"),
            (np.nan, "object"),
            (pd.NA, "object"),
            (None, "str"),
            (None, "string"),
            (np.nan, "float64"),
            (None, "category"),
        ]
    ]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert not np.array_equal(answers[0], probability(model, rows.assign(engine="jet")))


def test_every_kind_of_missing_number_is_the_same(model, frame):
    rows = frame.head(8)
    answers = [
        probability(model, rows.assign(temp=pd.Series([nothing] * 8, dtype=dtype)))
        for nothing, dtype in [(np.nan, "float64"), (pd.NA, "Float64"), (None, "object")]
    ]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_a_number_that_training_always_saw_may_be_missing_later(model, frame):
    assert np.isfinite(probability(model, frame.assign(minute=np.nan))).all()


def test_an_unseen_category_is_treated_as_a_rare_one(model, frame):
    unseen, rare = (probability(model, frame.assign(carrier=code)) for code in ("ZZ", "OO"))
    assert np.array_equal(unseen, rare)


def test_a_category_missing_for_the_first_time_in_serving_is_accepted(model, frame):
    assert np.isfinite(probability(model, frame.assign(carrier=None))).all()


def test_a_missing_column_is_named(model, frame):
    with pytest.raises(ValueError, match=r"columns are missing: \{'temp'\}"):
        model.predict(frame.drop(columns="temp"))


def test_the_model_can_be_cloned_and_pickled(model, frame):
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(probability(again, frame), probability(model, frame))
    anew = clone(model).fit(frame, frame["late"])
    assert np.array_equal(probability(anew, frame), probability(model, frame))


def test_the_fitted_model_is_made_of_nothing_but_library_parts(model):
    assert b"mlflow_ext" not in pickle.dumps(model)


def test_numbers_are_scaled_and_missing_ones_marked(frame):
    columns = make_preprocessor(NUMERIC, CATEGORICAL).set_output(transform="pandas")
    seen = columns.fit_transform(frame)
    assert np.allclose(seen[["numeric__minute", "numeric__temp"]].mean(), 0)
    assert np.allclose(seen[["numeric__minute", "numeric__temp"]].std(ddof=0), 1)
    marked = seen["numeric__missingindicator_temp"] > 0
    assert np.array_equal(marked, frame["temp"].isna())


def test_rare_categories_share_a_column_and_missing_ones_have_their_own(frame):
    columns = make_preprocessor(NUMERIC, CATEGORICAL).fit(frame).get_feature_names_out()
    assert {c.removeprefix("categorical__") for c in columns if c.startswith("categorical")} == {
        "carrier_AA",
        "carrier_B6",
        "carrier_UA",
        "carrier_infrequent_sklearn",
        "engine_jet",
        "engine_prop",
        "engine_nan",
    }


def test_a_small_share_of_the_rows_may_lack_a_column_altogether(frame):
    part = frame.head(60).assign(temp=np.nan)
    model = make_model(NUMERIC, CATEGORICAL, LogisticRegression(), 0.3).fit(part, part["late"])
    assert np.isfinite(probability(model, frame)).all()


def test_one_kind_of_feature_is_enough(frame):
    for numeric, categorical in [(NUMERIC, []), ([], CATEGORICAL)]:
        model = make_model(numeric, categorical, LogisticRegression(), 0.3)
        assert set(model.fit(frame, frame["late"]).predict(frame)) <= {0, 1}


def test_a_sound_training_table_is_accepted_and_left_alone(frame):
    before = frame.copy()
    check_training_table(frame, FEATURES, "late")
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("dtype", ["float64", "bool", "Int64"])
def test_labels_may_be_any_zeros_and_ones(frame, dtype):
    table = frame.astype({"late": dtype})
    check_training_table(table, FEATURES, "late")
    assert set(table["late"]) == {0, 1}


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda f: f.head(0), "no rows"),
        (lambda f: f.drop(columns="temp").assign(tempp=1.0), "no column 'temp'.*\n.*\n.*'tempp'"),
        (lambda f: f[["minute"]], "no column 'temp'"),
        (lambda f: f.drop(columns="late"), "no column 'late'"),
        (lambda f: f.assign(temp=np.nan), "column 'temp' is null in all 600 rows"),
        (lambda f: f.assign(engine=None), "column 'engine' is null in all 600 rows"),
        (
            lambda f: f.assign(temp=[np.inf, *f["temp"][1:]]),
            "column 'temp' is infinite in 1 of 600 rows",
        ),
        (lambda f: f.assign(late=1), "target 'late' holds 1\n.*both classes"),
        (lambda f: f.assign(late=f["late"] + 1), "target 'late' holds 1, 2"),
        (
            lambda f: f.assign(late=f["late"].where(f.index > 0)),
            "target 'late' holds 0.0, 1.0, nan",
        ),
    ],
    ids=[
        "empty",
        "misspelt",
        "feature missing",
        "target missing",
        "null numbers",
        "null categories",
        "infinite",
        "one class",
        "other labels",
        "unlabelled",
    ],
)
def test_a_table_no_model_can_learn_from_is_refused(frame, spoil, found):
    with pytest.raises(TableError, match=rf"table 'training': {found}"):
        check_training_table(spoil(frame), FEATURES, "late")
