"""A lock that whoever holds it may ask for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class Reentrant:
    """Takes a lock once, however deep the blocks that ask for it lie in each other.

    Args:
        lock: Takes it, and gives it back when the block ends.
    """

    def __init__(self, lock: Callable[[], AbstractContextManager[None]]) -> None:
        self._lock, self._is_held = lock, False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock until the outermost block ends."""
        if self._is_held:
            yield
            return
        with self._lock():
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False
