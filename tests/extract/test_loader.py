"""Decode workers: every group in order, with what its files held or why they held nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch

from weldcache.cache.status import Status
from weldcache.configs.schema import SensorSettings
from weldcache.errors import WeldcacheError
from weldcache.extract.loader import Failure, ReadTask, read_groups
from weldcache.extract.modalities.modality import Prepared
from weldcache.extract.modalities.sensor import SensorReader
from weldcache.extract.plan import Task
from weldcache.extract.sample import Sample

READERS = {"sensor": SensorReader(SensorSettings(num_steps=8))}


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., Task]:
    """A task whose sensor file holds the row's number as its current; or a broken file; or none."""

    def make(row: int, *, state: str = "whole") -> Task:
        path = tmp_path / f"{row}.csv"
        header = "Time,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,Secondary Weld Voltage\n"
        lines = "".join(f"07:05:0{second}.000,1,2,3,{row},5,6\n" for second in range(3))
        path.write_text(header + lines if state == "whole" else "no,such\ncolumns,here\n")
        sample = Sample(
            key=f"day/{row}",
            split="train",
            class_name="good",
            session="day",
            label=0,
            files={} if state == "absent" else {"sensor": (path,)},
            absent={"sensor": "no .csv in day"} if state == "absent" else {},
        )
        return Task(row=row, sample=sample, decode=frozenset({"sensor"}), write=frozenset({"sensor"}))

    return make


def current_of(read: ReadTask) -> float:
    prepared = read.prepared["sensor"]
    assert not isinstance(prepared, Failure)
    return float(prepared.tensors["values"][0, 3])


@pytest.mark.parametrize("workers", [0, 2])
def test_groups_come_in_order_and_failures_in_words(make_task: Callable[..., Task], workers: int) -> None:
    groups = [
        [make_task(0), make_task(1)],
        [make_task(2, state="broken"), make_task(3)],
        [make_task(4, state="absent")],
    ]
    read = list(read_groups(groups, readers=READERS, workers=workers))
    assert [[item.task.row for item in group] for group in read] == [[0, 1], [2, 3], [4]]
    assert [current_of(item) for item in (*read[0], read[1][1])] == [0, 1, 3]
    broken, absent = read[1][0].prepared["sensor"], read[2][0].prepared["sensor"]
    assert isinstance(broken, Failure) and broken.status == Status.UNREADABLE
    assert "2.csv" in broken.reason and "column Time is missing" in broken.reason
    assert absent == Failure(Status.ABSENT, "no .csv in day")


def test_only_what_is_to_be_decoded_is_decoded(make_task: Callable[..., Task]) -> None:
    task = make_task(0)
    idle = Task(row=0, sample=task.sample, decode=frozenset(), write=frozenset())
    ((read,),) = read_groups([[idle]], readers=READERS, workers=0)
    assert read.prepared == {}


def test_a_fault_of_ours_is_not_taken_for_a_broken_file(make_task: Callable[..., Task]) -> None:
    def broken(sample: Sample) -> Prepared:
        raise ZeroDivisionError(sample.key)

    with pytest.raises(ZeroDivisionError):
        list(read_groups([[make_task(0)]], readers={"sensor": broken}, workers=0))


def test_a_worker_that_is_killed_is_a_sentence(make_task: Callable[..., Task]) -> None:
    groups = [[make_task(row)] for row in range(60)]
    known = {process.pid for process in psutil.Process().children(recursive=True)}
    reading = read_groups(groups, readers=READERS, workers=1)
    first = next(reading)
    assert current_of(first[0]) == 0
    servers = [child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
    (worker,) = [child for server in servers for child in server.children() if child.pid not in known]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(
        WeldcacheError, match=r"decode process died.*Complete rows are safe: run the same command again"
    ):
        list(reading)


@pytest.mark.parametrize("kind", [RuntimeError, FileNotFoundError])
def test_what_a_reader_raises_in_a_worker_is_no_death(
    make_task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def failing(*_: object, **__: object) -> Iterator[object]:
        raise kind(f"Caught {kind.__name__} in DataLoader worker process 0.\nOriginal Traceback ...")
        yield

    monkeypatch.setattr("weldcache.extract.loader.DataLoader", failing)
    with pytest.raises(kind, match="Caught"):
        list(read_groups([[make_task(0)]], readers=READERS, workers=1))


def test_tensors_are_the_readers_own(make_task: Callable[..., Task]) -> None:
    """What crosses the process border is what the reader gave, bit for bit."""
    task = make_task(7)
    here = READERS["sensor"](task.sample)
    ((read,),) = read_groups([[task]], readers=READERS, workers=1)
    there = read.prepared["sensor"]
    assert not isinstance(there, Failure)
    assert there.tensors.keys() == here.tensors.keys() and there.notes == here.notes
    for name, tensor in here.tensors.items():
        torch.testing.assert_close(there.tensors[name], tensor, rtol=0, atol=0, equal_nan=True)
