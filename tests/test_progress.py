"""Progress says the same with a terminal and without one: how much is done, how fast, and for how long still."""

import io
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from weldcache import progress
from weldcache.progress import ByteProgress, Progress, quieted, said_once, say


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def plain() -> Console:
    """A console that is no terminal."""
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_a_line_now_and_then_with_rate_and_eta(clock: Clock, plain: Console) -> None:
    with Progress("extract", total=100, unit="welds", console=plain) as job:
        for _ in range(50):
            clock.now += 0.5
            job.advance()
    lines = written(plain).splitlines()
    assert lines[:2] == [
        "extract: 21/100 welds, 2.0 welds/s, ETA 39.5 s",
        "extract: 42/100 welds, 2.0 welds/s, ETA 29.0 s",
    ]
    assert lines[2:] == ["extract: 50/100 welds, 2.0 welds/s, took 25.0 s"]


def test_what_was_done_before_moves_the_count_and_not_the_rate(clock: Clock, plain: Console) -> None:
    with Progress("extract", total=100, unit="welds", done=80, console=plain) as job:
        clock.now += 20
        job.advance(10)
        assert job.rate == pytest.approx(0.5)
    assert written(plain).splitlines()[0] == "extract: 90/100 welds, 0.5 welds/s, ETA 20.0 s"


def test_a_note_stands_at_the_end_until_the_next(clock: Clock, plain: Console) -> None:
    with Progress("train", total=9, unit="samples", console=plain) as job:
        job.advance(4, note="loss [1.5]")
        clock.now += 11
        job.advance(4)
        job.advance(0, note="loss 1.2")
    first, last = written(plain).splitlines()
    assert first.endswith(", loss [1.5]")  # brackets are no markup
    assert last.endswith(", loss 1.2")


def test_a_failed_job_claims_no_end(clock: Clock, plain: Console) -> None:
    with pytest.raises(KeyboardInterrupt), Progress("extract", total=9, unit="welds", console=plain) as job:
        job.advance(3)
        raise KeyboardInterrupt
    assert written(plain) == ""


def test_nothing_done_yet_promises_no_time(clock: Clock, plain: Console) -> None:
    with Progress("extract", total=9, unit="welds", console=plain) as job:
        clock.now += 11
        job.advance(0)
        assert written(plain).splitlines() == ["extract: 0/9 welds, 0.0 welds/s"]


def test_on_a_terminal_a_bar(clock: Clock) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with Progress("extract", total=10, unit="welds", console=console) as job:
        clock.now += 2
        job.advance(5, note="loss 0.5")
    shown = written(console)
    assert "━" in shown and "ETA" in shown
    assert "5/10" in shown and "2.5 welds/s" in shown and "loss 0.5" in shown
    assert "took" not in shown  # the bar has said it


def test_results_have_stdout_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("extract", total=1, unit="welds") as job:
        job.advance()
    say("[done] 1 of 1")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == "[done] 1 of 1"


def test_what_takes_long_is_told_by_how_long_each_takes(clock: Clock, plain: Console) -> None:
    with Progress("bench", total=3, unit="trials", console=plain) as job:
        clock.now += 80
        job.advance()
    assert "bench: 1/3 trials, 1 min 20 s each, took 1 min 20 s" in written(plain)


def test_names_are_no_markup_and_no_controls_in_a_terminal() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Progress("[/]z\x1b]0;title\x07", total=2, unit="samples", console=terminal) as job:
        job.advance(1, note="loss [/b] of a\x9b31m")
    text = written(terminal)
    assert "[/]z\\x1b]0;title" in text and "[/b]" in text
    assert "\x1b]0" not in text and "\x9b" not in text


def test_bytes_are_shown_as_megabytes_and_the_bar_is_full_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with ByteProgress("copy", num_bytes=2_600_000) as job:
        for _ in range(9):
            job.advance(600_000)  # more than was expected
    assert "copy: 3/3 MB" in capsys.readouterr().err


def test_bytes_of_what_fails_are_not_said_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError), ByteProgress("copy", num_bytes=2_600_000):
        raise OSError
    assert "3/3" not in capsys.readouterr().err


def test_what_is_quieted_is_so_in_all_threads(capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(1) as pool, quieted():
        pool.submit(say, "one").result()
        with said_once(), quieted(False):
            say("two")
            pool.submit(say, "two").result()
    assert capsys.readouterr().err == "two\n"


def test_within_a_block_nothing_is_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with said_once():
        for sentence in ("one", "other", "one"):
            say(sentence)
    say("one")
    assert capsys.readouterr().err.split() == ["one", "other", "one"]
