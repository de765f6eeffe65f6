"""Ctrl-C is raised, kept where it was dropped, and given back to whoever handled it before."""

import signal

import pytest

from weldcache.extract.interrupts import kept_interrupt


def test_an_interrupt_that_was_dropped_is_raised_later() -> None:
    before = signal.getsignal(signal.SIGINT)
    with kept_interrupt() as raise_if_it_came:
        raise_if_it_came()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            raise_if_it_came()
    assert signal.getsignal(signal.SIGINT) is before
