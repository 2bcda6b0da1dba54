"""Ctrl-C and SIGTERM end a piece of work once, and leave nothing half done.

Python raises what a signal means wherever the main thread happens to be. Inside SQLAlchemy it may
become another error that somebody handles; inside MLflow's ``start_run`` and ``end_run`` it leaves
a run RUNNING; inside a destructor or a careless extension module it is dropped. So an interruption
waits until a fragile call is over, and comes again when nothing has become of it.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

NO_PLANS = (signal.SIG_DFL, signal.default_int_handler)
FRAGILE = (
    "concurrent.futures.thread.ThreadPoolExecutor.submit",  # forgets a thread that it has begun
    "mlflow.tracking.fluent",
    "sqlalchemy",
    "threading.Thread.start",
    "weakref",
)
"""Packages, modules and functions whose calls are not interrupted."""
PATIENCE = 5.0  # seconds: a call that waits for a dead server is interrupted all the same
LOST_SECONDS = 0.25  # for so long nobody has seen what was raised
LOOK_SECONDS = 0.05


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
    sys.unraisablehook = interruption.hide
    try:
        yield
        interruption.end()
    finally:
        interruption.over.set()
        sys.unraisablehook = interruption.hook
        for number, handler in before.items():
            signal.signal(number, handler)


class _Interruption:
    """An exception that a signal raises once, where it does no harm and does arrive."""

    def __init__(
        self, make: Callable[[], BaseException], hook: Callable[[sys.UnraisableHookArgs], object]
    ) -> None:
        self.hook = hook
        self.over = threading.Event()
        self._make = make
        self._heard: int | None = None
        self._fragile: FrameType | None = None
        """The call that has to end before what was heard is raised."""
        self._raised: BaseException | None = None
        self._is_late = False

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; whoever presses Ctrl-C again is not made to wait."""
        is_again = bool(self._fragile or self._raised)
        if is_again and number == signal.SIGTERM:
            return
        self._heard = number
        is_urgent = is_again or self._is_late or sys.getprofile()
        self._fragile = None if is_urgent else _find_fragile(frame)
        if not is_again:
            _thread.start_new_thread(self._insist, ())  # takes no lock that we may hold already
        if self._fragile is None:
            self._raise()
        sys.setprofile(self._watch)

    def end(self) -> None:
        """Raise what has come so late that nothing is left to interrupt."""
        if self._fragile:
            self._raise()

    def hide(self, lost: sys.UnraisableHookArgs) -> None:
        """Say nothing of what Python drops here and what is raised again."""
        if lost.exc_value is None or lost.exc_value is not self._raised:
            self.hook(lost)

    def _watch(self, frame: FrameType, event: str, _: object) -> None:
        """Hear what the interpreter does until the fragile call ends, in whatever way."""
        if frame is self._fragile and event == "return":
            self._raise()

    def _raise(self) -> NoReturn:
        if sys.getprofile() == self._watch:
            sys.setprofile(None)
        is_sigterm = self._heard == signal.SIGTERM
        self._raised = self._make() if is_sigterm else KeyboardInterrupt()
        self._fragile = None
        raise self._raised

    def _insist(self) -> None:
        """Send the signal again when a call takes too long, or what was raised is nowhere."""
        seen = time.monotonic()
        while time.monotonic() - seen < (PATIENCE if self._fragile else LOST_SECONDS):
            if self.over.wait(LOOK_SECONDS):
                return
            if any(one is self._raised for one in _handled_in_main_thread()):
                seen = time.monotonic()
        self._is_late = self._fragile is not None
        self._fragile = self._raised = None
        signal.pthread_kill(threading.main_thread().ident or 0, self._heard or signal.SIGINT)


def _handled_in_main_thread() -> Iterator[BaseException]:
    """Yield the exception that the main thread handles now, and those that it was raised from."""
    found: Any = sys._current_exceptions().get(threading.main_thread().ident or 0)
    handled = found[1] if isinstance(found, tuple) else found  # a triple before Python 3.12
    while handled is not None:
        yield handled
        handled = handled.__context__


def _find_fragile(frame: FrameType | None) -> FrameType | None:
    """Return the outermost call of something fragile that *frame* is part of.

    >>> _find_fragile(sys._getframe()) is None
    True
    """
    found = None
    while frame is not None:
        name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}."
        if name.startswith(tuple(f"{one}." for one in FRAGILE)):
            found = frame
        frame = frame.f_back
    return found
