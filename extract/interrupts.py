"""Ctrl-C that cannot get lost: Python drops an exception that is raised inside a destructor or callback."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def kept_interrupt() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if Ctrl-C came since; Ctrl-C itself raises it at once, as always.

    In another thread than the main one, which gets no signals, the function does nothing.
    """
    came = threading.Event()

    def raise_if_it_came() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    def on_signal(_: int, __: FrameType | None) -> None:
        came.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield raise_if_it_came
        return
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield raise_if_it_came
    finally:
        signal.signal(signal.SIGINT, before)
