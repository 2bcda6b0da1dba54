"""The gate ``size``: is the model small enough for where it runs?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT
from mlflow_ext.records import Check, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow_ext.gates.candidate import Candidate


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SizeGate(Gate):
    """All files of a version together must not take more room than there is."""

    max_megabytes: Annotated[float, Field(gt=0)]
    """In millions of bytes."""
    max_files: Annotated[int, Field(ge=1)] | None = None

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: one check of the bytes, one of the number of files if that is bound."""
        sizes = measure_files(candidate.files)
        yield _compare("megabytes", sum(sizes.values()) / 1e6, self.max_megabytes, _largest(sizes))
        if self.max_files is not None:
            yield _compare("files", len(sizes), self.max_files)


def measure_files(folder: Path) -> dict[str, int]:
    """Return path below *folder* -> bytes, for every file that is in it."""
    return {
        file.relative_to(folder).as_posix(): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _compare(name: str, found: float, ceiling: float, reason: str = "") -> Check:
    return Check(
        name=name,
        verdict=Verdict.PASSED if found <= ceiling else Verdict.FAILED,
        expected=f"<= {ceiling:g}",
        observed=found,
        reason=reason,
    )


def _largest(sizes: dict[str, int]) -> str:
    if not sizes:
        return "there is no file"
    name = max(sizes, key=sizes.__getitem__)
    return f"the largest is {name} with {sizes[name] / 1e6:.3g} MB"
