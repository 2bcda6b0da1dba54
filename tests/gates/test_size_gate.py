"""The gate `size`, case by case."""

from pathlib import Path

import pytest
import yaml
from gate_candidates import candidate, judge, save

from mlflow_ext.errors import GateConfigError
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.size import SizeGate

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "size.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case, tmp_path):
    for name, size in case["files"].items():
        file = tmp_path / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\0" * size)
    checks = judge(SizeGate(**case["options"]), candidate(tmp_path / "files"))
    assert {name: str(check.verdict) for name, check in checks.items()} == case["verdicts"]
    assert checks["megabytes"].observed == pytest.approx(case["observed"])
    assert case.get("says", "") in checks["megabytes"].reason


def test_a_real_model_is_measured_with_all_its_files(tmp_path):
    files = save(tmp_path)
    (check,) = SizeGate(max_megabytes=50).judge(candidate(files))
    assert check.verdict == "passed"
    assert check.observed * 1e6 == sum(file.stat().st_size for file in files.iterdir())


@pytest.mark.parametrize(
    "options", [{}, {"max_megabytes": 0}, {"max_megabytes": 1, "max_mb": 1}, {"max_megabytes": "1"}]
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(GateConfigError, match="gate 'size'"):
        build_gate("size", options)
