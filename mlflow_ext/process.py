"""Who is doing this work, and is that process still there?

A killed process cleans nothing up. What it began carries its name, and whoever comes next asks
here whether to leave the work alone or to take it over.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The time of creation is boot time plus ticks: it moves when the clock of the machine is corrected.
CLOCK_TOLERANCE = 2.0
INSIST_SECONDS = 0.05
NO_PLANS = (signal.SIG_DFL, signal.default_int_handler)


def current_process() -> str:
    """Name this process, uniquely even after its id is used again.

    Returns:
        ``HOST:PID:CREATED``, with the time of creation in seconds since the epoch.

    >>> is_alive(current_process())
    True
    """
    import psutil

    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def current_actor() -> str:
    """Name the person or account behind this process, ``user@host``."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@contextmanager
def interrupted_by_sigterm(
    make: Callable[[], BaseException] = KeyboardInterrupt,
) -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does; one that follows either changes nothing.

    Whoever cancels a group of processes may send both, and what the first one ends has to clean up.
    A program that has plans of its own for a signal keeps them.

    Args:
        make: Makes what SIGTERM raises.
    """
    is_main = threading.current_thread() is threading.main_thread()  # others hear no signal
    asked = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    heard = [number for number in asked if signal.getsignal(number) in NO_PLANS]
    interruption = _Interruption(make, sys.unraisablehook)
    before = {number: signal.signal(number, interruption.begin) for number in heard}
    sys.unraisablehook = interruption.insist
    try:
        yield
    finally:
        sys.unraisablehook = interruption.hook
        for number, handler in before.items():
            signal.signal(number, handler)


class _Interruption:
    """An exception that a signal raises once, and that does arrive."""

    def __init__(
        self, make: Callable[[], BaseException], hook: Callable[[sys.UnraisableHookArgs], object]
    ) -> None:
        self.hook = hook
        self._make = make
        self._begun: tuple[int, BaseException] | None = None

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._begun and number == signal.SIGTERM:
            return
        raised = KeyboardInterrupt() if number == signal.SIGINT else self._make()
        self._begun = (number, raised)
        raise raised

    def insist(self, lost: sys.UnraisableHookArgs) -> None:
        """Try again soon after Python has dropped it, as it does inside a destructor."""
        if not self._begun or lost.exc_value is not self._begun[1]:
            self.hook(lost)
            return
        (number, _), self._begun = self._begun, None
        main = threading.main_thread().ident
        again = threading.Timer(INSIST_SECONDS, signal.pthread_kill, (main, number))
        again.daemon = True
        again.start()


def is_alive(process: str) -> bool | None:
    """Say whether *process* still runs.

    Args:
        process: A name that `current_process` returned, here or elsewhere.

    Returns:
        True or False for a process of this host; None when that cannot be known: another host, a
        process we may not look at, or no such name at all.
    """
    import psutil

    host, *identity = process.rsplit(":", 2)
    if host != socket.gethostname() or len(identity) != 2:
        return None
    pid, created = identity
    try:
        found = psutil.Process(int(pid))
        same = abs(found.create_time() - float(created)) <= CLOCK_TOLERANCE
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, ValueError):
        return None
