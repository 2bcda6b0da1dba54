"""Ctrl-C and SIGTERM end a piece of work once, wherever they fall."""

import signal
import subprocess
import sys

import pytest

INTERRUPTED = """
import signal, sys, time, weakref
from mlflow_ext.interruption import interrupted_by_sigterm

class Thing: pass

def lose(_):
    print("READY", flush=True)
    time.sleep(60)

def clean_up():
    signal.raise_signal(signal.SIGTERM)
    print("cleaned up", flush=True)

try:
    with interrupted_by_sigterm(lambda: KeyboardInterrupt("asked to end")):
        try:
            if sys.argv[1] == "destructor":
                thing = Thing()
                kept = weakref.ref(thing, lose)
                del thing
            if sys.argv[1] == "careless code":
                try:
                    lose(None)
                except BaseException:
                    ...
            print("READY", flush=True)
            time.sleep(60)
        finally:
            clean_up()
except KeyboardInterrupt as interruption:
    print("interrupted", *interruption.args, flush=True)
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", ["code", "destructor", "careless code"])
def test_a_signal_interrupts_once_wherever_it_falls_and_lets_a_program_clean_up(name, where):
    command = [sys.executable, "-c", INTERRUPTED, where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.send_signal(getattr(signal, name))
        said = process.communicate(timeout=60)[0]

    how = "interrupted asked to end" if name == "SIGTERM" else "interrupted"
    assert said.replace("READY\n", "") == f"cleaned up\n{how}\nTrue\n"
    assert process.returncode == 0


RING = """
import os, signal, sys
from mlflow_ext import interruption
from mlflow_ext.interruption import interrupted_by_sigterm

def ring():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return 1

def run(block):
    try:
        with interrupted_by_sigterm():
            block()
            print("not reached", sys.getprofile())
    except KeyboardInterrupt:
        print("interrupted", sys.getprofile())
"""

DATABASE = """
import sqlalchemy as sa

engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
sa.event.listen(engine, "connect", lambda raw, _: raw.create_function("ring", 0, ring))

def block():
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO rung SELECT ring()")

with engine.begin() as connection:
    connection.exec_driver_sql("CREATE TABLE rung (times)")
run(block)
with engine.connect() as connection:
    print(connection.exec_driver_sql("SELECT count(*) FROM rung").scalar())
"""

POOL = """
import threading
from concurrent.futures import ThreadPoolExecutor

begin, pool = threading._start_new_thread, ThreadPoolExecutor()

def begin_and_ring(*given):
    threading._start_new_thread = begin
    begin(*given)
    ring()

def block():
    threading._start_new_thread = begin_and_ring
    pool.submit(len, "")

run(block)
print(len(pool._threads))
"""

STUCK = """
import time, sqlalchemy as sa

interruption.PATIENCE = 0.5
engine = sa.create_engine("sqlite://")

def hang(*_):
    ring()
    time.sleep(60)

sa.event.listen(engine, "connect", hang)
run(engine.connect)
"""


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (DATABASE, ["interrupted None", "0"]),
        (POOL, ["interrupted None", "1"]),
        (STUCK, ["interrupted None"]),
    ],
    ids=["inside a database", "while a thread begins", "in a call that does not end"],
)
def test_an_interruption_waits_for_what_it_would_break_but_not_for_ever(program, expected):
    command = [sys.executable, "-c", RING + program]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert ended.stdout.splitlines() == expected, ended.stderr
    assert (ended.returncode, ended.stderr) == (0, "")
