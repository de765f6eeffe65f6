"""Interrupted at any point and started again, a run ends as if nothing had happened: bit for bit."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weldcache.settings import Settings, to_yaml
from weldcache.train import pipeline
from weldcache.train.pipeline import TrainingSummary, train
from weldcache.train.runs import checkpointer
from weldcache.train.runs.checkpoint import Checkpoint, read_checkpoint
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.log import MetricRow, append_row, read_log
from weldcache.train.runs.names import named_run
from weldcache.train.runs.verification import verify_run

MakeSettings = Callable[..., Settings]
EPOCHS = 3
FEW = {"epochs": EPOCHS, "monitor": "val_loss", "batch_size": 16}  # three steps an epoch
TIMINGS = {"seconds", "samples_per_second"}


class Killed(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def run(settings: Settings, name: str) -> TrainingSummary:
    return train(settings, run_name=name, overwrite=False, command=f"weldcache train --run {name} --config v5")


def outcome(folder: RunFolder) -> dict[str, Any]:
    """All that a run leaves behind, without the timings; every checksum holds."""

    def untimed(row: MetricRow) -> dict[str, object]:
        return {name: value for name, value in row.items() if name not in TIMINGS}

    best, last = read_checkpoint(folder.best_path), read_checkpoint(folder.last_path)
    assert verify_run(folder, folder=folder.path.parent).passed
    state = folder.state()
    assert state is not None and state["best"] is not None
    told = {name: state[name] for name in ("finished", "stopped", "epoch")}
    return {
        "best": dict(best.tensors),
        "best_metrics": untimed(best.record["metrics"]),
        "last": dict(last.tensors),
        "position": last.record,
        "log": [untimed(row) for row in read_log(folder.metrics_path).rows],
        "state": {**told, "best": untimed(state["best"])},
    }


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for part in ("best", "last"):
        assert found[part].keys() == expected[part].keys()
        for name, tensor in expected[part].items():
            assert torch.equal(found[part][name], tensor), f"{part}: {name}"
    for part in ("best_metrics", "position", "log", "state"):
        assert found[part] == expected[part], part


@pytest.fixture
def settings(toy_settings: MakeSettings) -> Settings:
    """On the loss, so that the best epoch is a late one and is overwritten often."""
    return toy_settings(**FEW)


@pytest.fixture(scope="module")
def expected(
    settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a run leaves behind that nothing interrupts."""
    settings = settings_for_runs_in(tmp_path_factory.mktemp("whole"))(**FEW)
    return outcome(run(settings, "whole").run)


def test_the_checkpoint_holds_weights_average_and_optimiser(expected: dict[str, Any]) -> None:
    raw = {name.removeprefix("raw/"): tensor for name, tensor in expected["last"].items() if name.startswith("raw/")}
    assert all(expected["last"][f"averaged/{name}"].shape == tensor.shape for name, tensor in raw.items())
    name = "film.decoder.layers.0.weight"
    assert not torch.equal(raw[name], expected["last"][f"averaged/{name}"])
    assert float(expected["last"][f"optimizer/step/{name}"]) == 3 * EPOCHS
    assert expected["best"].keys() == {name for name in expected["last"] if not name.startswith("optimizer/")}


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e9])
@pytest.mark.parametrize("epoch", [1, 3])
def test_interrupted_before_an_epoch_is_logged(
    toy_settings: MakeSettings,
    expected: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    epoch: int,
    checkpoint_seconds: float,
) -> None:
    """With rare checkpoints the log is ahead of them, and is cut back."""
    settings = toy_settings(**FEW, checkpoint_seconds=checkpoint_seconds)

    def interrupted(path: Path, row: MetricRow) -> None:
        if row["epoch"] == epoch:
            raise KeyboardInterrupt
        append_row(path, row)

    monkeypatch.setattr(pipeline, "append_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(settings, "cut")
    saved = 0 if epoch == 1 else 1 if checkpoint_seconds else epoch - 1
    told = f"after epoch {saved}, the last" if saved else "from the beginning"
    assert f"`weldcache train --run cut --config v5` goes on with it, {told}" in capsys.readouterr().err
    monkeypatch.undo()
    again = run(settings, "cut")
    assert again.resumed_from == saved
    assert_same(outcome(again.run), expected)


@pytest.mark.parametrize("write", range(1, 2 * EPOCHS))
def test_killed_at_any_write_of_a_checkpoint(
    settings: Settings, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Odd writes are those of `best`, even ones those of `last`: a kill between the two leaves `best` ahead."""
    writes, real = iter(range(1, 1000)), checkpointer.write_checkpoint

    def killed(path: Path, checkpoint: Checkpoint) -> None:
        if next(writes) == write:
            raise Killed
        real(path, checkpoint)

    monkeypatch.setattr(checkpointer, "write_checkpoint", killed)
    with pytest.raises(Killed):
        run(settings, "cut")
    monkeypatch.undo()
    assert_same(outcome(run(settings, "cut").run), expected)


def test_killed_when_only_the_mark_of_the_end_is_missing(
    settings: Settings, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RunFolder.write

    def killed(folder: RunFolder, path: Path, document: dict[str, object]) -> None:
        if document["finished"]:
            raise Killed
        real(folder, path, document)

    monkeypatch.setattr(RunFolder, "write", killed)
    with pytest.raises(Killed):
        run(settings, "cut")
    monkeypatch.undo()
    again = run(settings, "cut")
    assert again.resumed_from == again.epochs == EPOCHS
    assert_same(outcome(again.run), expected)


def test_streamed_or_resident_the_run_is_the_same(toy_settings: MakeSettings, expected: dict[str, Any]) -> None:
    streamed = run(toy_settings(**FEW, loading="streamed"), "streamed")
    assert_same(outcome(streamed.run), expected)


def test_a_run_that_was_resident_goes_on_streamed(
    toy_settings: MakeSettings, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, row: MetricRow) -> None:
        append_row(path, row)
        if row["epoch"] == 3:
            raise Killed

    monkeypatch.setattr(pipeline, "append_row", killed)
    with pytest.raises(Killed):
        run(toy_settings(**FEW, loading="resident"), "cut")
    monkeypatch.undo()
    again = run(toy_settings(**FEW, loading="streamed"), "cut")
    assert again.resumed_from == 2
    assert_same(outcome(again.run), expected)


def test_early_stopping_counts_over_an_interruption(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings(epochs=50, patience=3)
    whole = run(settings, "whole")
    assert whole.stopped == "patience" and whole.epochs == whole.best.epoch + 3

    def interrupted(path: Path, row: MetricRow) -> None:
        append_row(path, row)
        if row["epoch"] == whole.best.epoch + 2:
            raise Killed

    monkeypatch.setattr(pipeline, "append_row", interrupted)
    with pytest.raises(Killed):
        run(settings, "cut")
    monkeypatch.undo()
    assert_same(outcome(run(settings, "cut").run), outcome(whole.run))


_KILLED_AGAIN_AND_AGAIN = """
import os, signal, sys, time
from pathlib import Path
from weldcache.settings import settings_from_saved
from weldcache.train.pipeline import train

settings = settings_from_saved(Path(sys.argv[1]).read_bytes(), origin=sys.argv[1])
log = settings.runs.folder / "cut" / "metrics.jsonl"

def trained(name):
    return train(settings, run_name=name, overwrite=False, command="x")

def num_epochs():
    return len(log.read_bytes().splitlines()) if log.is_file() else 0

trained("whole")
for delay in map(float, sys.argv[2:]):
    before, child = num_epochs(), os.fork()
    if child == 0:
        trained("cut")
        os._exit(0)
    while num_epochs() <= before:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "ended before it could be killed"
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "ended before it was killed"
print(trained("cut").resumed_from)
"""


@pytest.mark.slow
def test_killed_for_real_again_and_again(
    toy_settings: MakeSettings, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    """By a signal that no program can catch, at moments that fall anywhere: while it steps, validates or writes.

    With one thread: a child of a process that computed with more waits for threads that it has not inherited.
    """
    settings = toy_settings(epochs=30, patience=30, batch_size=16)
    config = tmp_path / "settings.yaml"
    config.write_text(to_yaml(settings))
    delays = np.random.default_rng(0).uniform(0, 0.05, size=5)  # an epoch takes about as long
    command = [sys.executable, "-c", _KILLED_AGAIN_AND_AGAIN, str(config), *map(str, delays)]
    killer = subprocess.run(command, capture_output=True, text=True, env=child_environment)
    assert killer.returncode == 0, killer.stderr
    assert len(delays) - 1 <= int(killer.stdout) < 30
    whole, cut = (outcome(named_run(settings.runs.folder, name)) for name in ("whole", "cut"))
    assert_same(cut, whole)
