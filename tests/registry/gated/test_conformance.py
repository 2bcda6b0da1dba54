"""Under the open policy a gated registry answers like a plain one, mistakes included."""

import re
import shutil
import tempfile
import threading
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import mlflow
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

MODELS = ("a", "b", "c", "a/b", "", "nobody")
VERSIONS = ("1", "2", "3", "9", "0", "x", "")
STAGES = ("None", "Staging", "staging", "Production", "PRODUCTION", "archived", "Gone", "")
ALIASES = ("champion", "Champion", "challenger", "latest", "v1", "free", "not valid!", "")
TAGS = ("stage", "mlflow.note", "mlflow.prompt.is_prompt", "mlflow_ext.stage", "", "k" * 300)
TEXTS = ("", "one", "two")
FILTERS = (
    "",
    "name='a'",
    "name LIKE '%b%'",
    "name ILIKE 'A%'",
    "tags.stage='one'",
    "tags.`mlflow.prompt.is_prompt`='true'",
    "tag = ",
    "version_number > 1",
    "run_id='r'",
    "source_path='s3://b/a'",
)
ORDERS = (
    (),
    ("name DESC",),
    ("version_number ASC",),
    ("name ASC", "version_number DESC"),
    ("name", "name"),
    ("size",),
)
TIMES = ("creation_timestamp", "last_updated_timestamp", "creation_time", "last_updated_time")

# Most choices must make sense, or a sequence comes to nothing.
models = st.one_of(st.sampled_from(MODELS[:2]), st.sampled_from(MODELS))
versions = st.one_of(st.sampled_from(VERSIONS[:2]), st.sampled_from(VERSIONS))
aliases = st.one_of(st.sampled_from(ALIASES[:3]), st.sampled_from(ALIASES))
stages, tags, texts = st.sampled_from(STAGES), st.sampled_from(TAGS), st.sampled_from(TEXTS)
own_tags = st.dictionaries(tags, texts, max_size=2)


class TwoRegistries(RuleBasedStateMachine):
    """Does everything twice, through a plain and a gated registry, and compares the answers."""

    store: Path
    """A file with MLflow's empty tables."""

    @initialize()
    def open_both(self):
        self.folder = Path(tempfile.mkdtemp())
        self.clients = []
        for prefix in ("", "gated+"):
            file = self.folder / f"{prefix or 'plain'}.db"
            shutil.copy(self.store, file)
            uri = f"sqlite:///{file}"
            client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=f"{prefix}{uri}")
            self.clients.append(client)
        self.both("create_registered_model", "a")
        self.both("create_model_version", "a", "s3://b/a")
        self.both("create_registered_model", "b")

    def teardown(self):
        for client in getattr(self, "clients", ()):
            store = client._get_registry_client().store
            store._dispose_engine()
            store._engine_map.pop(store.db_uri, None)
        shutil.rmtree(getattr(self, "folder", "nowhere"), ignore_errors=True)

    def both(self, name, *args, **kwargs):
        """Call a method of MLflow's client twice; return what both answered."""
        plain, gated = (answer(client, name, *args, **kwargs) for client in self.clients)
        assert gated == plain, (name, args, kwargs)
        return plain

    @rule(model=models, tags=own_tags, text=texts)
    def create_model(self, model, tags, text):
        self.both("create_registered_model", model, tags, text)

    @rule(
        model=models,
        source=st.sampled_from(["s3://b/a", "models:/a/1", "models:/nobody/1", "dummy-source"]),
        tags=own_tags,
        text=texts,
    )
    def create_version(self, model, source, tags, text):
        self.both("create_model_version", model, source, "r", tags, description=text)

    @rule(model=models, text=texts, version=versions)
    def describe(self, model, text, version):
        self.both("update_registered_model", model, text)
        self.both("update_model_version", model, version, text)

    @rule(model=models, version=versions, key=tags, value=texts)
    def set_tags(self, model, version, key, value):
        self.both("set_registered_model_tag", model, key, value)
        self.both("set_model_version_tag", model, version, key, value)

    @rule(model=models, version=versions, key=tags)
    def delete_tags(self, model, version, key):
        self.both("delete_registered_model_tag", model, key)
        self.both("delete_model_version_tag", model, version, key)

    @rule(model=models, alias=aliases, version=versions)
    def set_alias(self, model, alias, version):
        self.both("set_registered_model_alias", model, alias, version)

    @rule(model=models, alias=aliases)
    def delete_alias(self, model, alias):
        self.both("delete_registered_model_alias", model, alias)

    @rule(model=models, version=versions, stage=stages, is_archiving=st.booleans())
    def move(self, model, version, stage, is_archiving):
        self.both("transition_model_version_stage", model, version, stage, is_archiving)

    @rule(model=models, version=versions)
    def delete_version(self, model, version):
        self.both("delete_model_version", model, version)

    @rule(model=models)
    def delete_model(self, model):
        self.both("delete_registered_model", model)

    @rule(model=models, to=models)
    def rename(self, model, to):
        self.both("rename_registered_model", model, to)

    @rule(model=models, version=versions, to=models)
    def copy(self, model, version, to):
        self.both("copy_model_version", f"models:/{model}/{version}", to)

    @rule(model=models, stages=st.one_of(st.none(), st.lists(stages, max_size=2)))
    def ask_for_the_latest(self, model, stages):
        self.both("get_latest_versions", model, stages)

    @rule(model=models, version=versions, alias=aliases)
    def ask_for_one(self, model, version, alias):
        self.both("get_registered_model", model)
        self.both("get_model_version", model, version)
        self.both("get_model_version_download_uri", model, version)
        self.both("get_model_version_by_alias", model, alias)

    @rule(
        where=st.sampled_from(FILTERS),
        order=st.sampled_from(ORDERS),
        size=st.sampled_from([1, 2, 100, 0]),
    )
    def search(self, where, order, size):
        for method in ("search_registered_models", "search_model_versions"):
            self.leaf_through(method, where, size, list(order))

    def leaf_through(self, method, where, size, order):
        token = None
        for _ in range(5):
            _, token = self.both(method, where, size, order, token)
            if not token:
                break

    @rule(name=st.sampled_from(["p", "q", "a", "not valid!"]), text=texts, tags=own_tags)
    def register_prompt(self, name, text, tags):
        self.both("register_prompt", name, text or "Hello {{name}}", tags=tags)

    @rule(name=st.sampled_from(["p", "q", "a"]), alias=aliases, version=st.sampled_from([1, 2, 9]))
    def use_prompts(self, name, alias, version):
        self.both("set_prompt_alias", name, alias, version)
        self.both("load_prompt", f"prompts:/{name}@{alias}", cache_ttl_seconds=0)
        self.both("load_prompt", f"prompts:/{name}/{version}", cache_ttl_seconds=0)
        self.both("search_prompts")

    @rule(name=st.sampled_from(["p", "q"]), alias=aliases, version=st.sampled_from(["1", "2"]))
    def delete_prompts(self, name, alias, version):
        self.both("delete_prompt_alias", name, alias)
        self.both("delete_prompt_version", name, version)

    @precondition(lambda self: hasattr(self, "clients"))
    @invariant()
    def everything_is_equal(self):
        self.both("search_registered_models")
        self.both("search_model_versions", order_by=["name", "version_number"])
        self.both("search_prompts")


def answer(client, name, *args, **kwargs):
    """Call a method; return its answer, or its error, without times and folders."""
    try:
        found = getattr(client, name)(*deepcopy(args), **deepcopy(kwargs))  # it may change them
    except MlflowException as error:
        return (type(error).__name__, error.error_code, words(error.message)), None
    except Exception as error:  # what MLflow lets out, both must let out
        return (type(error).__name__, "", words(str(error))), None
    finally:
        wait_for_links()
    return plain_values(found), found.token if isinstance(found, PagedList) else None


def wait_for_links():
    """MLflow writes the experiment into a prompt's tags in a thread, some time after it answers."""
    for thread in threading.enumerate():
        if thread.name.startswith("link_prompt_to_experiment"):
            thread.join()


def words(text):
    return re.sub(r"\d{13}", "TIME", text)


def plain_values(found):
    """Turn MLflow's entities into plain values without times."""
    if isinstance(found, str | int | float | None):
        return found
    if isinstance(found, Mapping):
        return {key: plain_values(value) for key, value in found.items()}
    if isinstance(found, list | tuple | set):
        return [plain_values(value) for value in found]
    if type(found).__module__.startswith("mlflow.protos") or not hasattr(found, "__dict__"):
        return str(found)
    told = {key.lstrip("_"): value for key, value in vars(found).items()}
    return {
        "is_a": type(found).__name__,
        **{key: plain_values(value) for key, value in told.items() if key not in TIMES},
    }


@pytest.fixture
def open_policy(monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", "open")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_any_sequence_of_operations_has_equal_answers(open_policy, empty_store):
    from hypothesis.stateful import run_state_machine_as_test

    TwoRegistries.store = empty_store
    run_state_machine_as_test(
        TwoRegistries,
        settings=settings(
            max_examples=10,
            report_multiple_bugs=False,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
