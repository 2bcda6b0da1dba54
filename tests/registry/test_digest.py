"""The identity of a model's files: what changes it, what does not, and where it is read."""

import os
from pathlib import Path

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.data import model_files
from mlflow_ext.errors import FilesChangedError, RegistryStateError, StoreUnreachableError
from mlflow_ext.registry import digest
from mlflow_ext.registry.digest import (
    digest_files,
    digest_location,
    digest_version,
    load_verified,
)

NOTE = "model_name: delay\nmodel_version: '1'\n"


def write(folder, files):
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


FILES = {"MLmodel": b"flavors", "data/model.skops": b"weights", "code/a.py": b"import b"}


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "model", FILES)


TREES = st.dictionaries(
    st.text("abc\n é", min_size=1, max_size=3).map(lambda name: f"{name}.x"),
    st.binary(max_size=4),
    min_size=1,
    max_size=4,
)


@given(TREES, TREES)
def test_two_folders_have_one_digest_exactly_when_their_files_are_equal(
    tmp_path_factory, first, second
):
    one = digest_files(write(tmp_path_factory.mktemp("a"), first))
    other = digest_files(write(tmp_path_factory.mktemp("b"), second))
    assert (one == other) == (first == second)
    assert one == digest_files(write(tmp_path_factory.mktemp("c"), first))


CHANGES = {
    "a byte": lambda folder: write(folder, {"data/model.skops": b"weightz"}),
    "a new file": lambda folder: write(folder, {"data/more": b""}),
    "a removed file": lambda folder: (folder / "code" / "a.py").unlink(),
    "another name": lambda folder: (folder / "MLmodel").rename(folder / "MLModel"),
    "another folder": lambda folder: (folder / "code").rename(folder / "src"),
    "a model under the name of the note": lambda folder: write(folder, {NOTE_FILE: b"weights"}),
    "a note with more in it": lambda folder: write(
        folder, {NOTE_FILE: NOTE.encode() + b"evil: '!!'"}
    ),
    "a note that is no YAML": lambda folder: write(folder, {NOTE_FILE: b"\xff{"}),
    "a note of any size": lambda folder: write(
        folder, {NOTE_FILE: NOTE.encode() + b"#" * digest.DOWNLOAD_NOTE_BYTES}
    ),
    "a note further down": lambda folder: write(folder, {f"data/{NOTE_FILE}": NOTE.encode()}),
}
NOTE_FILE = "registered_model_meta"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_file_or_name_is_another_digest(folder, change):
    before = digest_files(folder)
    change(folder)
    assert digest_files(folder) != before


SAME = {
    "an empty folder": lambda folder: (folder / "empty").mkdir(),
    "MLflow's note": lambda folder: write(folder, {NOTE_FILE: NOTE.encode()}),
    "a time": lambda folder: os.utime(folder / "MLmodel", (0, 0)),
    "a permission": lambda folder: (folder / "MLmodel").chmod(0o600),
    "a link to the same bytes": lambda folder: (
        (folder / "MLmodel").rename(folder.parent / "aside"),
        (folder / "MLmodel").symlink_to(folder.parent / "aside"),
    ),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_is_no_content_does_not_change_the_digest(folder, change):
    before = digest_files(folder)
    change(folder)
    assert digest_files(folder) == before


UNREADABLE = {
    "there is nothing": lambda folder: folder.rename(folder.parent / "gone"),
    "no files": lambda folder: [(folder / name).unlink() for name in FILES],
    "only the note": lambda folder: write(
        folder.rename(folder.parent / "gone").parent / "model", {NOTE_FILE: NOTE.encode()}
    ),
    "a link to a folder": lambda folder: (folder / "link").symlink_to(folder / "code"),
    "a link to nothing": lambda folder: (folder / "link").symlink_to(folder / "nothing"),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
}


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_a_folder_that_cannot_be_read_whole_has_no_digest(folder, change):
    change(folder)
    with pytest.raises(StoreUnreachableError):
        digest_files(folder)


@pytest.fixture
def memory(monkeypatch):
    """What is remembered of files; by its age, every file may be."""
    known = {}
    monkeypatch.setattr(digest, "_known", known)
    monkeypatch.setattr(digest, "SETTLED_NS", -(10**18))
    return known


def test_an_unchanged_file_is_read_only_once(folder, memory):
    first = digest_files(folder)
    assert len(memory) == len(FILES)
    memory.update(dict.fromkeys(memory, "0" * 64))
    assert digest_files(folder) != first, "the memory answers"


def test_a_file_that_changes_is_read_again_even_when_its_time_is_put_back(folder, memory):
    file = folder / "data" / "model.skops"
    first, status = digest_files(folder), file.stat()
    file.write_bytes(b"WEIGHTS")
    while file.stat().st_ctime_ns == status.st_ctime_ns:  # within one tick of the kernel
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert digest_files(folder) != first


def test_a_fresh_file_is_not_remembered_because_it_could_change_within_a_tick(
    folder, memory, monkeypatch
):
    monkeypatch.setattr(digest, "SETTLED_NS", 10**18)
    digest_files(folder)
    assert memory == {}


def test_the_memory_of_files_is_bounded(folder, memory, monkeypatch):
    monkeypatch.setattr(digest, "REMEMBERED_FILES", 2)
    digest_files(folder)
    assert 0 < len(memory) <= 2


@pytest.mark.parametrize("spell", [str, Path.as_uri])
def test_a_local_location_is_read_where_it_lies(folder, spell):
    assert digest_location(spell(folder)) == digest_files(folder)
    assert not (folder / NOTE_FILE).exists()


@pytest.mark.parametrize(
    "location",
    ["s3://bucket/model", "/nowhere/model", "nonsense:model", "mlflow-artifacts:/1/models/m-1"],
)
def test_a_location_that_does_not_answer_is_told(location, tracking):
    with pytest.raises(StoreUnreachableError, match=location):
        digest_location(location)


def be_server(monkeypatch, destination):
    """Set what `mlflow server` sets for the processes that answer requests."""
    monkeypatch.setenv(model_files.SERVES_VARIABLE, "true")
    monkeypatch.setenv(model_files.DESTINATION_VARIABLE, str(destination))


def test_the_settings_of_a_server_are_called_what_mlflow_calls_them():
    from mlflow.server import constants

    assert constants.SERVE_ARTIFACTS_ENV_VAR == model_files.SERVES_VARIABLE
    assert constants.ARTIFACTS_DESTINATION_ENV_VAR == model_files.DESTINATION_VARIABLE


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/1/models/m-1/artifacts",
        "mlflow-artifacts://host:5000/1/models/m-1/artifacts/",
        "http://host/prefix/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts",
    ],
)
def test_a_server_reads_its_own_locations_from_its_destination(tmp_path, monkeypatch, location):
    folder = write(tmp_path / "store" / "1" / "models" / "m-1" / "artifacts", FILES)
    be_server(monkeypatch, tmp_path / "store")
    assert digest_location(location) == digest_files(folder)
    be_server(monkeypatch, (tmp_path / "store").as_uri())
    assert digest_location(location) == digest_files(folder)
    monkeypatch.chdir(tmp_path)
    be_server(monkeypatch, "./store")
    assert digest_location(location) == digest_files(folder)


@pytest.mark.parametrize("path", ["", "..", "../model", "1/../../model", "%2e%2e/model", "/model"])
def test_a_location_does_not_lead_out_of_the_destination(folder, tmp_path, monkeypatch, path):
    (tmp_path / "store").mkdir()
    be_server(monkeypatch, tmp_path / "store")
    with pytest.raises(StoreUnreachableError):
        digest_location(f"mlflow-artifacts:/{path}")


class Constant(mlflow.pyfunc.PythonModel):
    """Reads its answer from a file, and only when it is asked."""

    def predict(self, context, model_input, params=None):
        return Path(context.artifacts["answer"]).read_text() + f" {len(model_input)}"


def register(answer, folder):
    """Log a model that answers *answer*; return its location."""
    file = folder / "answer.txt"
    file.write_text(answer)
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=Constant(),
            artifacts={"answer": str(file)},
            pip_requirements=[],
        )
    client = mlflow.MlflowClient()
    if not client.search_registered_models("name = 'delay'"):
        client.create_registered_model("delay")
    version = client.create_model_version("delay", info.model_uri, model_id=info.model_id)
    return client.get_model_version_download_uri("delay", version.version)


def test_a_model_loads_only_while_its_files_are_those_that_were_judged(tracking, tmp_path):
    location = register("late", tmp_path)
    judged = digest_version(tracking, "delay", 1)
    tracking.set_registered_model_alias("delay", "champion", 1)
    model = load_verified(tracking, "models:/delay@champion", judged)
    swapped = next(digest_folder(location).rglob("answer.txt"))
    swapped.write_text("never late")
    assert model.predict([1, 2]) == "late 2", "the copy that was verified answers"
    with pytest.raises(FilesChangedError, match="models:/delay/1") as told:
        load_verified(tracking, "models:/delay/1", judged)
    assert judged in told.value.expected
    assert digest_version(tracking, "delay", 1) in told.value.found


def digest_folder(location):
    return Path(location.removeprefix("file://"))


def test_a_version_that_does_not_exist_is_told(tracking):
    for ask in (
        lambda: digest_version(tracking, "delay", 7),
        lambda: load_verified(tracking, "models:/delay@champion", "a" * 64),
    ):
        with pytest.raises(RegistryStateError, match="not found"):
            ask()


def test_loading_a_model_leaves_its_digest_as_it_was(tracking, tmp_path):
    location = register("late", tmp_path)
    before = digest_location(location)
    mlflow.pyfunc.load_model("models:/delay/1")
    assert (digest_folder(location) / NOTE_FILE).exists(), "MLflow writes into its own store"
    assert digest_location(location) == before


@pytest.fixture
def remote(server, tracking):
    """Client of a real server; `tracking` puts MLflow's global addresses back afterwards."""
    mlflow.set_tracking_uri(server)
    mlflow.set_registry_uri(server)
    mlflow.set_experiment("test")
    return mlflow.MlflowClient()


@pytest.mark.slow
def test_client_and_server_read_one_digest_from_a_server(remote, tmp_path, monkeypatch):
    location = register("late", tmp_path)
    through_http = digest_version(remote, "delay", 1)
    assert load_verified(remote, "models:/delay/1", through_http).predict([1]) == "late 1"
    assert location.startswith("mlflow-artifacts:/")
    be_server(monkeypatch, tmp_path / "artifacts")
    mlflow.set_tracking_uri("sqlite:///server.db")
    assert digest_location(location) == through_http
    swapped = next((tmp_path / "artifacts").rglob("answer.txt"))
    swapped.write_text("never late")
    assert digest_location(location) != through_http
