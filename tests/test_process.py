"""A process is alive, dead or unknown, and never mistaken for another one."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from mlflow_ext.process import current_process, is_alive

NAME_YOURSELF = (
    "from mlflow_ext.process import current_process as c; print(c(), flush=True); input()"
)


@pytest.fixture
def neighbour():
    process = subprocess.Popen(
        [sys.executable, "-c", NAME_YOURSELF],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def test_this_process_is_alive_and_named_by_host_and_pid():
    name = current_process()

    assert name.startswith(f"{socket.gethostname()}:{os.getpid()}:")
    assert is_alive(name) is True
    assert current_process() == name


def test_another_running_process_is_alive(neighbour):
    _, name = neighbour

    assert name != current_process()
    assert is_alive(name) is True


def test_a_killed_process_is_dead_before_and_after_its_parent_collects_it(neighbour):
    process, name = neighbour
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert is_alive(name) is False  # still a zombie

    process.wait()
    assert is_alive(name) is False


def test_a_process_id_in_use_again_is_not_the_process_that_had_it_before():
    host, pid, created = current_process().rsplit(":", 2)

    assert is_alive(f"{host}:{pid}:{float(created) - 60}") is False
    assert is_alive(f"{host}:{pid}:{float(created) + 0.5}") is True  # the clock was corrected


def test_a_process_of_another_host_is_unknown():
    _, pid, created = current_process().rsplit(":", 2)

    assert is_alive(f"elsewhere.example.org:{pid}:{created}") is None


@pytest.mark.parametrize("name", ["", "nonsense", f"{socket.gethostname()}:12"])
def test_what_is_no_name_of_a_process_is_unknown(name):
    assert is_alive(name) is None


def test_a_damaged_name_of_this_host_is_unknown():
    assert is_alive(f"{socket.gethostname()}:x:y") is None
