"""The gate `infra`: words case by case, and real models in real processes that may end badly."""

import platform
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pytest
import yaml
from gate_candidates import EXAMPLE, candidate, judge, save, save_code
from judged_models import fit

from mlflow_ext.data.model_answer import EXPECTED, ask
from mlflow_ext.errors import GateConfigError
from mlflow_ext.gates._declared_environment import find_mismatches, read_environment
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.infra import InfraGate, judge_answer, judge_environment

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "infra.yaml").read_text())
ALLOWED = InfraGate(pickle="allowed")


@pytest.mark.parametrize("case", CASES["requirements"], ids=lambda case: case["case"])
def test_environment_case(case, tmp_path):
    (tmp_path / "requirements.txt").write_text("\n".join(case["lines"]))
    (tmp_path / "python_env.yaml").write_text(f"python: {case.get('python', '3.11.7')}")
    declared = read_environment(tmp_path)
    found = find_mismatches(declared, "3.11.7", case["installed"].get)
    assert list(found) == case["mismatches"]


@pytest.mark.parametrize("case", CASES["answers"], ids=lambda case: case["case"])
def test_answer_case(case):
    check = judge_answer(case["known"], case["found"], 1e-9, "as at training")
    assert check.verdict == case["verdict"]
    assert case.get("says", "") in check.reason


def test_a_model_that_answers_as_at_training_passes(tmp_path):
    model = fit()
    expected = ask(model, model, EXAMPLE)
    files = save(tmp_path, model, input_example=EXAMPLE, metadata={EXPECTED: expected})
    checks = judge(ALLOWED, candidate(files))
    assert {name: str(check.verdict) for name, check in checks.items()} == dict.fromkeys(
        ("pickles", "imports", "environment", "loads", "answer"), "passed"
    )
    assert checks["answer"].expected == "as at training"
    assert checks["pickles"].observed == ["model.pkl"]


def test_a_model_that_has_changed_since_training_fails(tmp_path):
    expected = {"predict_proba": np.full((3, 2), 0.5).tolist()}
    files = save(tmp_path, input_example=EXAMPLE, metadata={EXPECTED: expected})
    check = judge(ALLOWED, candidate(files))["answer"]
    assert str(check.verdict) == "failed"
    assert "predict_proba: up to 0." in check.reason


def test_without_an_answer_from_training_two_processes_have_to_agree(tmp_path):
    files = save_code(tmp_path, "return [os.getpid()] * len(model_input)", input_example=EXAMPLE)
    check = judge(ALLOWED, candidate(files))["answer"]
    assert (str(check.verdict), "as in this process" in check.expected) == ("failed", True)


def test_a_model_without_an_example_loads_and_that_is_all_that_is_known(tmp_path):
    checks = judge(ALLOWED, candidate(save(tmp_path)))
    assert str(checks["loads"].verdict) == "passed"
    assert str(checks["answer"].verdict) == "inconclusive"
    assert "input_example=rows.head()" in checks["answer"].reason


BAD_ENDS = [
    ("sys.exit('enough')", "SystemExit: enough"),
    ("print('bye', flush=True); os._exit(3)", "ended itself with code 3; its last words: bye"),
    ("os.kill(os.getpid(), 11)", "died of SIGSEGV"),
]


@pytest.mark.parametrize(("body", "found"), BAD_ENDS, ids=[found for _, found in BAD_ENDS])
def test_a_process_that_ends_badly_fails_with_its_last_words(tmp_path, monkeypatch, body, found):
    files = save_code(
        tmp_path,
        f"if os.environ.get('ENDS_BADLY'): {body}\nreturn [0.5] * len(model_input)",
        input_example=EXAMPLE,
    )
    monkeypatch.setenv("ENDS_BADLY", "yes")
    checks = judge(ALLOWED, candidate(files))
    assert str(checks["loads"].verdict) == "failed"
    assert found in checks["loads"].reason
    assert "answer" not in checks


def ends(pid, seconds=30):
    """Wait until a process is gone, or only waits for its parent to notice."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_a_process_that_hangs_is_ended_with_all_that_it_has_started(tmp_path, monkeypatch):
    note = tmp_path / "child.txt"
    body = f"""
    if os.environ.get('HANGS'):
        import subprocess
        child = subprocess.Popen(['sleep', '600'])
        open({str(note)!r}, 'w').write(str(child.pid))
        time.sleep(600)
    return [0.5] * len(model_input)
    """
    files = save_code(tmp_path, body, input_example=EXAMPLE)
    monkeypatch.setenv("HANGS", "yes")
    check = judge(InfraGate(pickle="allowed", max_seconds=15), candidate(files))["loads"]
    assert (str(check.verdict), check.reason) == ("failed", "it had not answered after 15 s")
    assert ends(int(note.read_text()))


def test_a_model_that_leans_on_what_lies_around_does_not_load_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "lying_around.py").write_text(
        "class Model:\n    def predict(self, X): return [1]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from lying_around import Model

    check = judge(ALLOWED, candidate(save(tmp_path, Model())))["loads"]
    assert str(check.verdict) == "failed"
    assert "No module named 'lying_around'" in check.reason


def test_another_environment_than_the_declared_one_is_no_verdict(tmp_path):
    files = save(tmp_path, pip_requirements=["scikit-learn==0.1", "absent-package"])
    check = judge_environment(files)
    assert str(check.verdict) == "inconclusive"
    assert len(check.observed) == 2
    assert "environment: uv" in check.reason
    (files / "requirements.txt").unlink()
    assert "it declares none" in judge_environment(files).reason


def borrow_packages(folder):
    """Build a wheel that lends the packages of these tests: nothing has to be downloaded."""
    wheel = folder / "borrowed-1.0-py3-none-any.whl"
    about = "borrowed-1.0.dist-info"
    content = {
        "borrowed.pth": sysconfig.get_path("purelib") + "\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: borrowed\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*content, f"{about}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return wheel


def test_the_declared_environment_is_built_and_the_model_answers_there(tmp_path):
    files = save_code(tmp_path, "return [sys.prefix] * len(model_input)", input_example=EXAMPLE)
    (files / "requirements.txt").write_text(f"{borrow_packages(tmp_path)}\n")
    gate = InfraGate(environment="uv")
    checks = judge(gate, candidate(files))
    assert [str(checks[name].verdict) for name in ("environment", "loads")] == ["passed"] * 2
    assert "3 of 3 values are others" in checks["answer"].reason, "this interpreter has answered"


@pytest.mark.parametrize(
    ("python", "requirement", "found"),
    [(None, "./absent-1.0-py3-none-any.whl", "absent"), ("2.1", "mlflow", "2.1")],
    ids=["package", "python"],
)
def test_an_environment_that_cannot_be_built_fails(tmp_path, python, requirement, found):
    files = save(tmp_path)
    version = python or platform.python_version()
    (files / "python_env.yaml").write_text(f"python: '{version}'\n")
    (files / "requirements.txt").write_text(f"{requirement}\n")
    checks = judge(InfraGate(environment="uv"), candidate(files))
    assert str(checks["environment"].verdict) == "failed"
    assert found in checks["environment"].reason
    assert "loads" not in checks


def test_without_uv_nothing_is_built_and_nothing_is_judged(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    check = judge(InfraGate(environment="uv"), candidate(save(tmp_path)))["environment"]
    assert (str(check.verdict), "pip install uv" in check.reason) == ("inconclusive", True)


@pytest.mark.parametrize(
    ("rule", "verdict", "severity"),
    [("allowed", "passed", "block"), ("warn", "failed", "warn"), ("refused", "failed", "block")],
)
def test_pickles_are_listed_and_judged_by_the_rule(tmp_path, rule, verdict, severity):
    check = next(iter(InfraGate(pickle=rule).judge(candidate(save(tmp_path)))))
    assert (check.name, check.observed) == ("pickles", ["model.pkl"])
    assert (str(check.verdict), str(check.severity)) == (verdict, severity)


def test_skops_is_no_pickle(tmp_path):
    files = save(tmp_path, serialization_format="skops")
    found = InfraGate(pickle="refused").judge(candidate(files))
    assert [str(next(found).verdict) for _ in range(2)] == ["passed", "passed"]


class Evil:
    """Runs a command when it is loaded."""

    def __reduce__(self):
        import os

        return os.system, ("touch loaded",)


def test_a_pickle_that_runs_commands_is_named_and_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = save(tmp_path, Evil())
    checks = judge(InfraGate(environment="uv"), candidate(files))
    assert str(checks["imports"].verdict) == "failed"
    assert list(checks["imports"].observed) == ["model.pkl"]
    assert checks["imports"].observed["model.pkl"][0].endswith(".system")
    assert str(checks["loads"].verdict) == "inconclusive"
    assert not list(tmp_path.rglob("loaded"))


def test_an_import_that_is_trusted_does_not_fail(tmp_path):
    files = save(tmp_path, Evil())
    (name,) = judge(ALLOWED, candidate(files))["imports"].observed["model.pkl"]
    trusting = iter(InfraGate(trusted_imports=(name,)).judge(candidate(files)))
    assert [next(trusting).name, str(next(trusting).verdict)] == ["pickles", "passed"]


@pytest.mark.parametrize(
    "options", [{"environment": "conda"}, {"pickle": "never"}, {"max_second": 5}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(GateConfigError, match="gate 'infra'"):
        build_gate("infra", options)


def test_our_own_logging_keeps_the_answer(tracking):
    from mlflow_ext.registry.model import log_model

    model = fit()
    with mlflow.start_run():
        logged = log_model(model, EXAMPLE)
    files = Path(mlflow.artifacts.download_artifacts(logged.uri))
    kept = mlflow.models.Model.load(files).metadata[EXPECTED]
    assert kept["predict_proba"] == model.predict_proba(EXAMPLE).tolist()
    checks = judge(InfraGate(pickle="refused"), candidate(files))
    assert {str(check.verdict) for check in checks.values()} == {"passed"}
    assert checks["answer"].expected == "as at training"
