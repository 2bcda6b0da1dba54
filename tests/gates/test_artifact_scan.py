"""What files import, read without loading: every way of writing it down."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib
from collections import OrderedDict

import joblib
import numpy as np
import pytest
import skops.io
from judged_models import fit

from mlflow_ext.gates._artifact_scan import COMPUTED, is_dangerous, read_imports, scan_artifacts


def call(function, *arguments):
    """A thing that calls *function* when it is loaded."""

    class Calling:
        def __reduce__(self):
            return function, arguments

    return Calling()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_imports_are_found_in_every_protocol(protocol):
    data = pickle.dumps([OrderedDict(a=1), OrderedDict(b=2), call(eval, "1")], protocol)
    imports, unread = read_imports(io.BytesIO(data))
    assert "collections.OrderedDict" in imports
    (found,) = filter(is_dangerous, imports)
    assert (found.endswith(".eval"), unread) == (True, "")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8c\x02os\x8c\x06systemX\x01\x00\x00\x00a0\x93.",  # a text on top is popped
        b"\x80\x04\x8c\x02os\x8c\x06system\x86\x93.",
        b"\x80\x02\x82\x01.",  # a name by a number that copyreg knows
    ],
    ids=["pop", "tuple", "extension"],
)
def test_what_is_not_written_out_is_taken_for_dangerous(data):
    imports, _ = read_imports(io.BytesIO(data))
    assert imports == {COMPUTED}
    assert is_dangerous(COMPUTED)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_compression_hides_nothing(tmp_path, pack):
    (tmp_path / "model.joblib").write_bytes(pack(pickle.dumps(call(exec, "1"))))
    (found,) = scan_artifacts(tmp_path)
    assert (found.path, found.format, found.imports) == (
        "model.joblib",
        "pickle",
        ("builtins.exec",),
    )


def test_a_pickle_under_another_name_is_one(tmp_path):
    (tmp_path / "weights.bin").write_bytes(pickle.dumps(OrderedDict()))
    (tmp_path / "picture.bin").write_bytes(b"\x80\x04 begins like a pickle and is none")
    (tmp_path / "notes.txt").write_text("no pickle at all")
    assert [artifact.path for artifact in scan_artifacts(tmp_path)] == ["weights.bin"]


def test_a_pickle_inside_an_archive_is_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(call(eval, "1")))
    (found,) = scan_artifacts(tmp_path)
    assert (found.path, found.imports) == ("model.pt/archive/data.pkl", ("builtins.eval",))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(OrderedDict(a=1))[:-3]])
def test_a_pickle_that_cannot_be_read_to_its_end_says_so(tmp_path, content):
    (tmp_path / "model.pkl").write_bytes(content)
    (found,) = scan_artifacts(tmp_path)
    assert found.unread


def test_arrays_of_joblib_stop_the_reading_and_are_told(tmp_path):
    joblib.dump([np.arange(9.0), OrderedDict()], tmp_path / "model.joblib")
    (found,) = scan_artifacts(tmp_path)
    assert any(name.startswith("joblib.") for name in found.imports)
    assert found.unread


def test_a_file_of_skops_tells_the_types_that_it_does_not_trust(tmp_path):
    skops.io.dump(
        {"model": fit(), "odd": np.random.default_rng(0).bit_generator}, tmp_path / "m.skops"
    )
    (found,) = scan_artifacts(tmp_path)
    assert (found.format, found.unread) == ("skops", "")
    assert not any(map(is_dangerous, found.imports))


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("posix.system", True),
        ("os.path.join", True),
        ("numpy.f2py.os.system", True),
        ("builtins.eval", True),
        ("__builtin__.eval", True),
        ("builtins.object.__class__.eval", True),
        ("builtins.set", False),
        ("collections.OrderedDict", False),
        ("sklearn.pipeline.Pipeline", False),
        ("numpy._core.multiarray._reconstruct", False),
    ],
)
def test_power_over_the_machine_is_told_from_the_name(name, verdict):
    assert is_dangerous(name) is verdict
