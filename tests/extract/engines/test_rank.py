"""Ranks on one store: the same bytes as by one process, whoever is killed; and nobody else writes meanwhile."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.atomic import joint_folder
from weldcache.cache.records import Record
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.extract.engines.joining import recording_lock
from weldcache.extract.engines.marks import read_marks
from weldcache.extract.engines.status import extraction_status, state_of
from weldcache.tests.children import Children, differing, wait_for
from weldcache.tests.extract.engines.conftest import COMMAND

pytestmark = pytest.mark.distributed
RANK = (*COMMAND, "--engine", "rank")


def rank(number: int, world: int) -> dict[str, str]:
    return {"RANK": str(number), "WORLD_SIZE": str(world)}


def test_three_ranks_make_what_one_process_makes(
    project: Path, by_one: Path, children: Children, weldcache: Callable[..., Any]
) -> None:
    started = [
        children.start(*RANK, folder=project, environment=rank(number, 3), said=f"{number}.txt") for number in range(3)
    ]
    said = [(project / f"{number}.txt") for number in range(3)]
    assert [children.wait(child) for child in started] == [0, 0, 0], [path.read_text() for path in said]
    assert not differing(project / "features.zarr", by_one / "features.zarr")
    # One of them has prepared the store and told what it costs.
    assert sum("to do" in path.read_text() for path in said) == 1
    told = json.loads(weldcache("extract", "--status", "--json", folder=project).raw_out)
    assert (told["num_rows"], told["num_done"], told["num_failed"], told["runs"]) == (38, 38, 0, False)
    assert told["num_spans_done"] == told["num_spans"] == sum(len(worker["spans"]) for worker in told["workers"])
    assert [worker["state"] for worker in told["workers"]] == ["finished"] * 3
    table = weldcache("extract", "--status", folder=project).out
    assert "38 of 38 welds done" in table and "rank 2 of 3" in table and "nobody is at work" in table


def test_a_rank_that_is_killed_costs_its_spans_alone(project: Path, by_one: Path, children: Children) -> None:
    store = project / "features.zarr"
    ranks = [
        children.start(*RANK, folder=project, environment=rank(number, 2), said=f"{number}.txt") for number in (0, 1)
    ]
    wait_for(lambda: any(state.worker == "rank 1 of 2" and state.finished for state in read_marks(store)))
    told = extraction_status(store)
    assert told.runs and 0 < told.num_done < 38
    os.kill(ranks[1], signal.SIGKILL)
    assert children.wait(ranks[1]) == -signal.SIGKILL
    assert children.wait(ranks[0]) == 0, (project / "0.txt").read_text()
    complete = FeatureStore.open(store).status("sensor") == Status.COMPLETE
    assert 18 < complete.sum() < 38
    killed = next(state for state in read_marks(store) if not state.ended)
    assert state_of(killed, now=killed.beat + 60).startswith("silent for 1 min 00 s, last at span")
    # Any other number of ranks does the rest, and nothing else.
    again = children.start(*RANK, folder=project, environment=rank(0, 1))
    assert children.wait(again) == 0
    assert not differing(store, by_one / "features.zarr")
    (state,) = read_marks(store)
    assert state.num_tried < 38


@pytest.mark.slow  # torch is imported by three processes that share nothing
def test_torchrun_starts_ranks(project: Path, by_one: Path, child_environment: dict[str, str]) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "weldcache", *RANK]
    ran = subprocess.run(command, cwd=project, env=child_environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "rank 0 of 2" in ran.stderr and "rank 1 of 2" in ran.stderr
    assert not differing(project / "features.zarr", by_one / "features.zarr")


@pytest.mark.slow  # ten extractions
def test_the_commands_that_the_docs_show_run(project: Path, by_one: Path, children: Children) -> None:
    """Those for ranks; the tasks of the Slurm array are started as Slurm would."""
    text = (Path(__file__).parents[3] / "docs" / "scale.md").read_text()
    lines = [
        line.removesuffix(" &") for line in text.splitlines() if re.match(r"(RANK=\d \S+ )?weldcache extract", line)
    ]
    by_slurm = [line for line in lines if line == "weldcache extract --engine rank"]
    (array,) = re.findall(r"--array=0-(\d+)", text)
    of_task = {
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_MAX": array,
        "SLURM_ARRAY_TASK_COUNT": str(int(array) + 1),
    }
    tasks = [of_task | {"SLURM_ARRAY_TASK_ID": str(task)} for task in range(int(array) + 1)]
    by_hand = [line for line in lines if line.startswith("RANK")]
    assert len(by_slurm) == 1 and len(by_hand) == 2
    assert "weldcache extract --workers 2" in lines and "weldcache extract --status" in lines  # which other tests run
    for cache, commands in (
        ("slurm.zarr", [(by_slurm[0], environment) for environment in tasks]),
        ("hand.zarr", [(line, {}) for line in by_hand]),
    ):
        started = []
        for line, environment in commands:
            words = line.split()
            given = dict(word.split("=") for word in words if "=" in word)
            options = [*words[words.index("extract") :], *COMMAND[1:], "--cache", cache]
            started.append(children.start(*options, folder=project, environment=environment | given))
        assert [children.wait(child) for child in started] == [0] * len(started), (project / "said.txt").read_text()
        assert not differing(project / cache, by_one / "features.zarr")


def test_two_writers_of_records_that_share_a_file_lose_none(
    linked_copy_of: Callable[[Path], Path], by_one: Path
) -> None:
    store_path = linked_copy_of(by_one) / "features.zarr"
    joint_folder(store_path).mkdir()
    told = {row: f"told by {row % 2}" for row in range(38)}

    def write(part: int) -> None:
        writer = StoreWriter(FeatureStore.open(store_path), recording=recording_lock(store_path))
        for row in range(part, 38, 2):
            writer.record([Record("sensor", row, Status.UNREADABLE, told[row], ())])

    threads = [threading.Thread(target=write, args=(part,)) for part in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = FeatureStore.open(store_path)
    assert store.records.notes("sensor") == told
    assert np.all(store.status("sensor") == Status.UNREADABLE)


def test_a_worker_that_is_at_a_span_for_too_long_is_ended(project: Path, children: Children) -> None:
    limit = ("--set", "extract.span_seconds=0.05")
    child = children.start(*RANK, *limit, folder=project, environment=rank(0, 1))
    assert children.wait(child) == 1
    assert "extract.span_seconds" in (project / "said.txt").read_text()
    (state,) = read_marks(project / "features.zarr")
    assert state.ended.startswith("given up")


def test_a_rank_is_refused_before_anything_is_made(project: Path, weldcache: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("RANK", raising=False)
    outcome = weldcache(*RANK, folder=project)
    assert outcome.code == 2 and "torchrun" in outcome.err
    assert not (project / "features.zarr").exists()
    told = weldcache("extract", "--status", folder=project)
    assert told.code == 2 and "--workers N" in told.err
