"""Whether the process that tries a trial still lives: told exactly on its own machine, by signs of life elsewhere.

Whoever is elsewhere goes by a number that the owner counts up. Clocks of two machines are never compared: what counts
is that the number stood still for a while of the onlooker's own time.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ...owners import Owner, is_here, lives

BEAT_SECONDS = 20.0  # between two signs of life
GRACE_SECONDS = 120.0  # without one, until an owner on another machine is taken for dead


class Onlooker:
    """Tells who of several owners lives, as far as this process has looked by now."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[int, float]] = {}  # by trial: the last count, and when it was first seen

    def lives(self, owner: Owner, *, trial: int, beats: int) -> bool:
        """Whether the owner of a trial, which has counted up to `beats`, is at work."""
        if is_here(owner):
            return lives(owner)
        now = time.monotonic()
        count, since = self._heard.get(trial, (-1, now))
        if count != beats:
            self._heard[trial] = (beats, now)
            return True
        return now - since < GRACE_SECONDS


class Heart:
    """Gives signs of life of the trials that this process is at work on, from a thread of its own."""

    def __init__(self, beat: Callable[[int, int], None]) -> None:
        """`beat` notes of a trial, by its number, up to what was counted; what it raises is tried again."""
        self._beat = beat
        self._counts: dict[int, int] = {}
        self._thread: threading.Thread | None = None

    def start(self, trial: int) -> None:
        self._counts[trial] = 0
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="heart", daemon=True)
            self._thread.start()

    def stop(self, trial: int) -> None:
        self._counts.pop(trial, None)

    def _go_on(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            for trial, count in list(self._counts.items()):
                # Whatever keeps it from being noted once, such as a server that starts anew, may be over next time.
                with suppress(Exception):
                    self._beat(trial, count + 1)
                    if trial in self._counts:
                        self._counts[trial] = count + 1
