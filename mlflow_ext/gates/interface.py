"""What a gate is, and how to write one.

A gate is a frozen dataclass of its options with one method. A whole one::

    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class SizeGate(Gate):
        \"\"\"Is the model small enough for where it runs?\"\"\"

        max_megabytes: Annotated[float, Field(gt=0)]

        def judge(self, candidate: Candidate) -> Iterator[Check]:
            found = sum(file.stat().st_size for file in candidate.files.rglob("*")) / 1e6
            yield Check(
                name="megabytes",
                verdict=Verdict.PASSED if found <= self.max_megabytes else Verdict.FAILED,
                expected=f"<= {self.max_megabytes:g}",
                observed=found,
            )

`dataclass` is pydantic's and `STRICT` comes from `mlflow_ext.project`, so that an option which does
not exist is an error that names the nearest one. The gate's name is that of its module in
``mlflow_ext/gates/``, or of its entry point in the group ``mlflow_ext.gates`` if another
distribution brings it; with that name and these options it stands in gates.yaml or project.yaml::

    gates:
      size: {max_megabytes: 50}

A table that says more than checks can goes into ``candidate.attachments``, under the gate's name.
Nothing else is to be done: report, digest of the configuration, evidence and commands follow.
`mlflow_ext.testing.GateCase` is the test that every gate should pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from mlflow_ext.gates.candidate import Candidate
    from mlflow_ext.records import Check, Json


class Gate(ABC):
    """Judges a version of a registered model by its own options."""

    @abstractmethod
    def judge(self, candidate: Candidate) -> Iterable[Check]:
        """Look at a version and compare what is found with what is asked for.

        Args:
            candidate: The version, its files, the rows that judge it, and the version in
                Production. What is expensive is read on first use and shared by all gates.

        Returns:
            One check per comparison. *Inconclusive* where there is too little to tell, with
            ``rows_needed`` where more rows would settle it; *skipped* where nothing was asked.

        Raises:
            MlflowExtError: No verdict can be reached. The report then says so and is inconclusive;
                any other exception is treated alike, and its text is kept.
        """

    def configuration(self, candidate: Candidate) -> Json:
        """Return what the digest of the configuration covers: what else would be another gate.

        Override it when an option only names what decides, such as a file.
        """
        values: Json = TypeAdapter(type(self)).dump_python(self, mode="json")
        return values
