"""What a training shows: a panel that fits any terminal, and without a terminal the lines of every long job."""

import io
import math
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from fcntl import ioctl

import pytest
from rich.console import Console

from weldcache.train import display
from weldcache.train.display import ShownTraining, describe_epoch, training_display
from weldcache.train.runs.log import MetricRow
from weldcache.train.settings import TrainSettings

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def row(epoch: int, **values: float | None) -> MetricRow:
    decay = math.exp(-epoch / 10)
    return {
        "epoch": epoch, "step": epoch * 18, "loss": 8 * decay + 1, "loss_cosine": decay, "loss_l1": decay / 2,
        "val_loss": 9 * decay + 1.2, "val_auroc": 0.9 - 0.4 * decay, "lr": 2e-5, "gradient_norm": decay + 0.1,
        "z_result_effective_rank": 30 * decay + 5, "z_result_std": decay, "z_result_std_min": 0.0,
        "z_result_std_max": 1.0, "seconds": 1.0, "samples_per_second": 500.0, **values,
    }  # fmt: skip


def shown(rows: list[MetricRow], *, width: int, height: int, **settings: object) -> list[str]:
    """The last picture of a training of these epochs, line by line, as a terminal of that size gets it."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, height=height)
    train = TrainSettings.model_validate({"epochs": 100, **settings})
    best = max(rows, key=lambda row: row["val_auroc"] or 0, default=None)
    with training_display(ShownTraining("toy-001", train, 32, "sample", rows, best), console=console):
        pass
    picture = console.file.getvalue().rpartition("\x1b[2K")[2]
    return CODES.sub("", picture).rstrip("\n").split("\n")


@pytest.mark.parametrize("num_epochs", [0, 1, 2, 500])
@pytest.mark.parametrize("size", [(20, 4), (30, 10), (60, 20), (80, 24), (120, 30), (211, 55), (400, 100)])
def test_it_is_never_wider_or_higher_than_the_terminal(num_epochs: int, size: tuple[int, int]) -> None:
    width, height = size
    lines = shown([row(epoch) for epoch in range(1, num_epochs + 1)], width=width, height=height, epochs=500)
    assert len(lines) < height
    assert max(len(line) for line in lines) <= width


def cells_of(lines: list[str]) -> dict[str, list[str]]:
    """What stands in each metric's line, by its name."""
    rows = [re.split(r"\s{2,}", line.strip("│ ")) for line in lines[5:-1]]
    return {name: cells for name, *cells in rows}


def test_all_that_is_known_of_a_run_is_there() -> None:
    lines = shown([row(epoch) for epoch in range(1, 31)], width=120, height=50)
    assert "train toy-001" in lines[0]
    assert "epoch 30/100" in lines[1] and "960/3200" in lines[1] and "ETA" in lines[1]
    assert "best: epoch 30 with val AUROC 0.8801, 25 of 25 epochs of patience left" in lines[2]
    cells = cells_of(lines)
    assert list(cells)[:3] == ["loss", "val loss", "val AUROC"]  # what it is judged by comes first
    assert {name: found[1:] for name, found in cells.items()} == {
        **{"loss": ["1.398"] * 2, "val loss": ["1.648"] * 2, "val AUROC": ["0.8801"] * 2},
        **{"loss cosine": ["0.04979"] * 2, "loss l1": ["0.02489"] * 2, "lr": ["2e-05"] * 2},
        **{"gradient norm": ["0.1498"] * 2, "z result effective rank": ["6.494"] * 2, "z result std": ["0.04979"] * 2},
        **{"z result std min": ["0"] * 2, "z result std max": ["1"] * 2},
    }
    assert cells["loss"][0] == "█▇▇▆▆▅▅▄▄▄▃▃▃▃▂▂▂▂▂▂▂▁▁▁▁▁▁▁▁▁"


def test_a_small_terminal_keeps_what_matters_most() -> None:
    cells = cells_of(shown([row(epoch) for epoch in range(1, 31)], width=80, height=11))
    assert list(cells) == ["loss", "val loss", "val AUROC", "loss cosine"]
    assert len(shown([row(1), row(2)], width=30, height=24)) == 1  # too narrow for a table


def test_another_recipes_metrics_are_shown_as_well() -> None:
    rows: list[MetricRow] = [
        {"epoch": epoch, "loss": 1 / epoch, "val_loss": 2 / epoch, "val_auroc": None, "code_use": 0.1 * epoch}
        for epoch in range(1, 6)
    ]
    lines = shown(rows, width=150, height=40, monitor="val_loss")
    assert list(cells_of(lines)) == ["loss", "val loss", "code use"]
    assert describe_epoch(rows[4]) == "epoch 5, loss 0.2, val loss 0.4"


def test_more_epochs_than_characters_share_them_and_the_best_is_seen() -> None:
    aurocs = [0.5] * 99 + [0.9] + [0.5] * 100
    lines = shown([row(epoch, val_auroc=auroc) for epoch, auroc in enumerate(aurocs, 1)], width=80, height=30)
    course = cells_of(lines)["val AUROC"][0]
    assert 20 < len(course) < 80 and course.count("█") == 1 and course.count("▁") == len(course) - 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_leaves_a_gap(value: float | None) -> None:
    rows = [row(1, lr=1.0), row(2, lr=value), row(3, lr=3.0)]
    assert "▁ █" in "\n".join(shown(rows, width=120, height=40))


@pytest.mark.parametrize("values", [[0.25] * 3, [-1.7e308, 1.7e308], [None, None], [5e-324, 0.0]])
def test_whatever_the_values_a_course_is_as_long_as_the_epochs(values: list[float | None]) -> None:
    rows = [row(epoch, lr=value) for epoch, value in enumerate(values, 1)]
    assert len(shown(rows, width=120, height=40)) > 10


def test_the_best_is_marked_where_it_is_and_patience_runs_down() -> None:
    aurocs = [0.6, 0.7, 0.9, 0.8, 0.7, 0.75]
    rows = [row(epoch, val_auroc=auroc) for epoch, auroc in enumerate(aurocs, 1)]
    lines = shown(rows, width=80, height=14, patience=5)
    assert "best: epoch 3 with val AUROC 0.9000, 2 of 5 epochs of patience left" in lines[2]
    assert cells_of(lines)["val AUROC"] == ["▁▃█▆▃▅", "0.75", "0.9"]
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=14)
    train = TrainSettings(epochs=100)
    with training_display(ShownTraining("toy", train, 1, "sample", rows, rows[2]), console=console):
        pass
    assert "\x1b[1;33m█\x1b" in console.file.getvalue()  # type: ignore[attr-defined]


def test_gone_on_with_the_rate_is_of_this_run_alone() -> None:
    """50 samples in 10 seconds; the 100 from before the interruption took none of them."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120, height=30)
    clock = iter([1000.0, 1000.0, *[1010.0] * 99])
    panel = display._LivePanel(
        ShownTraining("toy-001", TrainSettings(epochs=10), 50, "part", history=[row(1), row(2)], best=row(2))
    )
    panel._bar.get_time = lambda: next(clock)
    panel._bar.reset(panel._task, completed=100)
    panel.advance(0)
    panel.advance(50)
    panel.epoch_done(row(3), improved=True)
    console.print(panel)
    text = console.file.getvalue()
    assert "epoch 3/10" in text and "150/500" in text
    assert "5.0 parts/s" in text and "0:01:10" in text
    assert "best: epoch 3" in text


def test_without_a_terminal_the_lines_of_every_long_job() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    settings = TrainSettings(epochs=4)
    with training_display(
        ShownTraining("toy-001", settings, 32, "sample", history=[row(1)], best=row(1)), console=console
    ) as display:
        display.advance(32)
        display.epoch_done(row(2), improved=True)
    line = console.file.getvalue()
    assert re.fullmatch(
        r"train toy-001: 64/128 sample passes, [\d.]+ sample passes/s, took [\d.]+ s, "
        r"epoch 2, loss 7.55, val loss 8.569, val AUROC 0.5725\n",
        line,
    )


def test_a_dumb_terminal_gets_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with training_display(ShownTraining("toy-001", TrainSettings(), 32, "sample", [], None), console=console):
        pass
    assert "╭" not in console.file.getvalue()


_TRAINING = """
import sys, time
from weldcache.train.settings import TrainSettings
from weldcache.progress import say
from weldcache.train.display import ShownTraining, training_display

with training_display(ShownTraining("toy-001", TrainSettings(epochs=20), 8, "sample", [], None)) as display:
    for epoch in range(1, 21):
        time.sleep(0.02)
        display.advance(8)
        metrics = {"epoch": epoch, "loss": 1 / epoch, "val_loss": 1.0, "val_auroc": 0.5, "lr": 1.0}
        display.epoch_done(metrics, improved=epoch == 1)
        if epoch == 4:
            say("a word from elsewhere")
        if epoch == 16 and sys.argv[1] == "error":
            raise SystemExit("broken")
        if epoch == 16 and sys.argv[1] == "wait":
            time.sleep(60)
print("afterwards")
"""


@pytest.mark.parametrize("end", ["finish", "error", "wait"])
@pytest.mark.slow
def test_on_a_real_terminal_nothing_is_left_broken(end: str, child_environment: Mapping[str, str]) -> None:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    before = termios.tcgetattr(theirs)
    environment = {name: value for name, value in child_environment.items() if name not in ("COLUMNS", "NO_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", _TRAINING, end],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm-256color"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background may ignore it
    )  # fmt: skip
    written = _read_until(ours, child, stop=lambda text: end == "wait" and "epoch 16/20" in CODES.sub("", text))
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    text = CODES.sub("", written)
    assert "val AUROC" in text and "▄" in text
    assert "a word from elsewhere" in text
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor is hidden, then shown again
    assert "\x1b[?1049h" not in written  # the panel stays in the terminal's history
    last = text.rpartition("╭─ train toy-001")[2]
    assert ("epoch 20/20" if end == "finish" else "epoch 16/20") in last
    assert ("afterwards" if end == "finish" else "broken" if end == "error" else "KeyboardInterrupt") in last


def _read_until(terminal: int, child: subprocess.Popen[bytes], *, stop: Callable[[str], bool]) -> str:
    """All that the child writes; interrupted once `stop` says so."""
    os.set_blocking(terminal, False)
    written, interrupted, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        over = child.poll() is not None
        try:
            written += os.read(terminal, 65536)
        except BlockingIOError:
            if over:
                break
            time.sleep(0.01)
        if not interrupted and stop(written.decode(errors="ignore")):
            child.send_signal(signal.SIGINT)
            interrupted = True
    try:
        child.wait(timeout=30)
    finally:
        child.kill()
        child.wait()
    return written.decode()
