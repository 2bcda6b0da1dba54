"""Ask a model in a process of its own, which may fail, hang or die without harm to ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow_ext.data import model_answer
from mlflow_ext.data.model_answer import Answer


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a process."""

    answer: Answer | None = None
    """What the model said about its input example; None without one."""
    problem: str = ""
    """Why there is no answer; empty when the model was loaded and asked."""


def ask_in_fresh_process(python: Path, files: Path, seconds: float) -> Outcome:
    """Load a model and ask it about its own input example.

    The process finds what is installed and nothing else: neither ``PYTHONPATH`` nor the working
    directory of this one.

    Args:
        python: The interpreter of the environment.
        files: A local folder with an ``MLmodel``.
        seconds: After these the process is killed, and all that it has started.
    """
    with TemporaryDirectory() as folder:
        target, log = Path(folder, "answer.json"), Path(folder, "output.txt")
        program = [str(python), "-I", model_answer.__file__, str(files.resolve()), str(target)]
        code = _run(program, log, seconds)
        said = (log.read_text("utf-8", errors="replace").strip().splitlines() or ["nothing"])[-1]
        if code is None:
            return Outcome(problem=f"it had not answered after {seconds:g} s")
        if code != 0 or not target.exists():
            return Outcome(problem=f"the process {_ending(code)}; its last words: {said}")
        return Outcome(**json.loads(target.read_text("utf-8")))


def _run(program: list[str], log: Path, seconds: float) -> int | None:
    """Run a program in an empty folder; None when the time is over."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            program,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None


def _ending(code: int) -> str:
    return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended itself with code {code}"
