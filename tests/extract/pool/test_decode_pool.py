"""Decode workers: every group in order, and no file, signal or fault that could change what the others hold."""

import gc
import importlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import torch

import weldcache.extract.pool.read_job
from weldcache.cache.status import Status, source_file
from weldcache.errors import WeldcacheError
from weldcache.extract.features.kind import Prepared, Reader
from weldcache.extract.plan import Job
from weldcache.extract.pool.decode_pool import DecodePool
from weldcache.extract.pool.decode_process import WorkerTraceback
from weldcache.extract.pool.decoder import Limits
from weldcache.extract.pool.read_job import Failure, ReadJob
from weldcache.extract.sources.source import Sample

pytestmark = pytest.mark.slow  # processes of their own, which are killed and waited for

MakeJob = Callable[..., Job]
_GENEROUS = 60.0  # seconds until a test gives up waiting; nothing here takes a tenth of it


@pytest.fixture(scope="module")
def odd() -> Iterator[ModuleType]:
    """The module of misbehaving readers, where decode processes find it too."""
    folder = str(Path(__file__).parent / "worker_modules")
    sys.path.insert(0, folder)
    yield importlib.import_module("odd_readers")
    sys.path.remove(folder)


@pytest.fixture
def readers(odd: ModuleType) -> dict[str, Reader]:
    return {"first": odd.OddReader("first"), "second": odd.OddReader("second")}


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """A job whose file, shared by both modalities, holds the row's number and says what the readers do."""

    def make(row: int, *, first: str = "fine", second: str = "fine", absent: Sequence[str] = ()) -> Job:
        path = tmp_path / f"{row}.txt"
        path.write_text(f"first={first} second={second} number={row}")
        modalities = ("first", "second")
        sample = Sample(
            key=f"day/{row}",
            split="train",
            group="day",
            files={name: (path,) for name in modalities if name not in absent},
            absent={name: f"no {name} in day" for name in absent},
        )
        return Job(row=row, sample=sample, decode=frozenset(modalities), write=frozenset(modalities))

    return make


@pytest.fixture
def read_all(readers: dict[str, Reader], tmp_path: Path) -> Callable[..., list[list[ReadJob]]]:
    def read(
        groups: Sequence[Sequence[Job]],
        *,
        workers: int = 2,
        limits: Limits = Limits(),  # noqa: B008
    ) -> list[list[ReadJob]]:
        with DecodePool(readers, workers=workers, root=tmp_path, limits=limits) as pool:
            return list(pool.read(groups))

    return read


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Neither file descriptors nor threads."""
    forkserver.ensure_running()
    gc.collect()
    before = set(threading.enumerate()), psutil.Process().num_fds()
    yield
    assert (set(threading.enumerate()), psutil.Process().num_fds()) == before


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _GENEROUS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def is_right(read: ReadJob, *, modalities: Sequence[str] = ("first", "second")) -> bool:
    """Whether these modalities hold what the row's file says."""
    row = read.job.row
    for modality in modalities:
        prepared = read.prepared[modality]
        assert isinstance(prepared, Prepared), (row, prepared)
        tensors = prepared.tensors
        torch.testing.assert_close(tensors["values"], torch.full((1000,), float(row)), rtol=0, atol=0)
        half = torch.tensor([row, float("nan")], dtype=torch.bfloat16)
        torch.testing.assert_close(tensors["half"], half, rtol=0, atol=0, equal_nan=True)
        frames = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4).transpose(0, 2)
        torch.testing.assert_close(tensors["frames"], frames, rtol=0, atol=0)
        assert tensors["count"].shape == () and tensors["count"] == 7
        assert tensors["nothing"].shape == (0, 5)
    return True


def failure_of(read: ReadJob, modality: str) -> Failure:
    failure = read.prepared[modality]
    assert isinstance(failure, Failure)
    return failure


@pytest.mark.parametrize("workers", [0, 2])
def test_groups_come_in_order_with_their_files_and_failures_in_words(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], tmp_path: Path, workers: int
) -> None:
    gone = make_job(5)
    (tmp_path / "5.txt").unlink()
    groups = [
        [make_job(0), make_job(1), make_job(2)],
        [make_job(3, first="damaged"), make_job(4, absent=["second"])],
        [gone],
        [make_job(6, first="grows")],
        *([make_job(row)] for row in range(7, 20)),
    ]
    read = read_all(groups, workers=workers)
    assert [[item.job for item in group] for group in read] == groups
    flat = [item for group in read for item in group]
    assert all(is_right(flat[row]) for row in (0, 1, 2, *range(7, 20)))
    assert is_right(flat[3], modalities=["second"]) and is_right(flat[4], modalities=["first"])
    expected = (source_file(tmp_path / "3.txt", root=tmp_path),)
    assert flat[3].sources == {"first": expected, "second": expected}
    assert failure_of(flat[3], "first") == Failure(Status.UNREADABLE, "3.txt is no film.")
    assert failure_of(flat[4], "second") == Failure(Status.ABSENT, "no second in day")
    assert flat[4].sources["second"] == ()
    missing = "5.txt cannot be read: No such file or directory."
    assert failure_of(flat[5], "first") == failure_of(flat[5], "second") == Failure(Status.UNREADABLE, missing)
    changed = failure_of(flat[6], "first")
    assert changed.status == Status.UNREADABLE and "6.txt changed while it was read" in changed.reason
    assert flat[6].sources["first"] == ()


def test_only_what_is_to_be_decoded_is_decoded(make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]]) -> None:
    job = make_job(0)
    idle = Job(row=0, sample=job.sample, decode=frozenset(), write=frozenset())
    ((read,),) = read_all([[idle]], workers=1)
    assert read.prepared == {} and read.sources == {}
    assert read_all([], workers=1) == []


def test_a_file_of_two_modalities_is_hashed_once(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []

    def counted(path: Path, *, root: Path) -> object:
        hashed.append(path.name)
        return source_file(path, root=root)

    monkeypatch.setattr(weldcache.extract.pool.read_job, "source_file", counted)
    read_all([[make_job(0), make_job(1)]], workers=0)
    assert hashed == ["0.txt", "1.txt"]


def test_busy_seconds_are_those_of_what_was_delivered(
    make_job: MakeJob, readers: dict[str, Reader], tmp_path: Path
) -> None:
    with DecodePool(readers, workers=1, root=tmp_path, limits=Limits()) as pool:
        assert pool.busy_seconds == 0
        seconds = 0.0
        for group in pool.read([[make_job(0), make_job(1)], [make_job(2, first="slow")]]):
            seconds += sum(item.seconds for item in group)
            assert pool.busy_seconds == pytest.approx(seconds)
    assert seconds > 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_tensors_lie_in_shared_memory_that_takes_no_descriptors_and_goes_with_them(
    make_job: MakeJob, readers: dict[str, Reader], tmp_path: Path
) -> None:
    def shared_mappings() -> int:
        return Path("/proc/self/maps").read_text().count("memfd:weldcache")

    gc.collect()
    assert shared_mappings() == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with DecodePool(readers, workers=2, root=tmp_path, limits=Limits()) as pool:
        resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 40, hard))
        try:
            held = list(pool.read([[make_job(row) for row in range(60)], [make_job(row) for row in range(60, 120)]]))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # Held after the processes have gone.
    assert all(is_right(item) for group in held for item in group)
    assert all(
        tensor.is_shared()
        for group in held
        for item in group
        for prepared in item.prepared.values()
        if isinstance(prepared, Prepared)
        for tensor in prepared.tensors.values()
    )
    assert shared_mappings() > 0
    del held
    gc.collect()
    assert shared_mappings() == 0


def test_a_worker_that_is_killed_costs_its_time_alone(
    make_job: MakeJob,
    read_all: Callable[..., list[list[ReadJob]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def kill() -> None:
        mark = tmp_path / "3.pid"
        wait_for(lambda: mark.exists() and mark.read_text() != "")
        os.kill(int(mark.read_text()), signal.SIGKILL)

    groups = [[make_job(row, first="slow" if row == 3 else "fine") for row in (2 * at, 2 * at + 1)] for at in range(6)]
    killer = threading.Thread(target=kill)
    killer.start()
    read = read_all(groups)
    killer.join()
    assert [item.job.row for group in read for item in group] == list(range(12))
    assert all(is_right(item) for group in read for item in group)
    said = capsys.readouterr().err
    assert said.count("died") == 1 and "signal SIGKILL" in said and "day/3" in said


@pytest.mark.parametrize(("word", "ending"), [("segfault", "signal SIGSEGV"), ("exit", "exit status 5")])
def test_a_file_that_kills_its_decoder_costs_its_own_modality_alone(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], tmp_path: Path, word: str, ending: str
) -> None:
    jobs = [make_job(row, second=word if row in (2, 3) else "fine") for row in range(8)]
    with nothing_left_behind():
        read = [item for group in read_all([jobs[:4], jobs[4:]]) for item in group]
        assert [item.job for item in read] == jobs
        for item in read:
            poisonous = item.job.row in (2, 3)
            assert is_right(item, modalities=["first"] if poisonous else ["first", "second"])
            assert item.sources["first"] == (source_file(tmp_path / f"{item.job.row}.txt", root=tmp_path),)
            if poisonous:
                failure = failure_of(item, "second")
                assert failure.status == Status.UNREADABLE
                assert "Decoding its second killed the decode process" in failure.reason and ending in failure.reason


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("word", ["greedy", "huge"])
def test_memory_that_runs_out_costs_the_run_a_modality_and_is_no_property_of_the_file(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], workers: int, word: str
) -> None:
    jobs = [make_job(row, second=word if row == 1 else "fine") for row in range(3)]
    with nothing_left_behind():
        (read,) = read_all([jobs], workers=workers)
        assert is_right(read[0]) and is_right(read[1], modalities=["first"]) and is_right(read[2])
        failure = failure_of(read[1], "second")
        assert failure.status == Status.MISSING  # so that the next run tries again
        assert "memory" in failure.reason and "second" in failure.reason


@pytest.mark.parametrize("workers", [0, 1])
def test_memory_that_is_there_again_leaves_no_trace(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], workers: int
) -> None:
    ((read,),) = read_all([[make_job(0, second="greedy_once")]], workers=workers)
    assert is_right(read)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_takes_too_long_is_named_and_given_up_and_the_run_goes_on(
    make_job: MakeJob,
    read_all: Callable[..., list[list[ReadJob]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    workers: int,
) -> None:
    word, threads = "hang" if workers else "spin", set(threading.enumerate())
    jobs = [make_job(row, second=word if row == 1 else "fine") for row in range(4)]
    limits = Limits(seconds=1.0, named_after=0.2)
    read = [item for group in read_all([jobs[:2], jobs[2:]], workers=workers, limits=limits) for item in group]
    assert all(is_right(read[row]) for row in (0, 2, 3)) and is_right(read[1], modalities=["first"])
    failure = failure_of(read[1], "second")
    assert failure.status == Status.UNREADABLE and "extract.decode_seconds" in failure.reason
    assert read[1].sources["second"] == ()
    named = [line for line in capsys.readouterr().err.splitlines() if "has been decoded for" in line]
    assert len(named) == 1 and "day/1" in named[0] and "second" in named[0]
    if workers:
        assert not psutil.pid_exists(int((tmp_path / "1.pid").read_text()))
    # A thread cannot be killed, but ends when the reader next comes back from a library.
    wait_for(lambda: set(threading.enumerate()) <= threads)


def test_what_takes_too_much_memory_is_given_up(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], tmp_path: Path
) -> None:
    jobs = [make_job(row, first="bloated" if row == 0 else "fine") for row in range(2)]
    (read,) = read_all([jobs], workers=1, limits=Limits(memory=200 << 20))
    assert is_right(read[0], modalities=["second"]) and is_right(read[1])
    failure = failure_of(read[0], "first")
    assert failure.status == Status.UNREADABLE and "extract.decode_gigabytes" in failure.reason
    assert not psutil.pid_exists(int((tmp_path / "0.pid").read_text()))


@pytest.mark.parametrize("workers", [0, 1])
def test_only_regular_files_are_opened(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], tmp_path: Path, workers: int
) -> None:
    """Whoever opens a pipe waits, and whoever reads /dev/zero reads for ever."""
    jobs = [make_job(row) for row in range(6)]
    files = [tmp_path / f"{row}.txt" for row in range(6)]
    for path in files[:5]:
        path.unlink()
    os.mkfifo(files[0])
    files[1].symlink_to("/dev/zero")
    files[2].symlink_to(files[2])
    files[3].mkdir()
    files[4].symlink_to(files[0])
    (read,) = read_all([jobs], workers=workers)
    assert is_right(read[5])
    for item, path in zip(read[:5], files, strict=False):
        failure = failure_of(item, "first")
        assert failure.status == Status.UNREADABLE and path.name in failure.reason
        assert item.sources == {"first": (), "second": ()}


def test_a_weld_that_is_fine_when_decoded_alone_is_whole(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]], tmp_path: Path
) -> None:
    jobs = [make_job(row, first="segfault_twice" if row == 1 else "fine") for row in range(4)]
    (read,) = read_all([jobs])
    assert len(list(tmp_path.glob("1.died*"))) == 2
    assert all(is_right(item) for item in read)


def test_a_fault_of_ours_is_not_taken_for_a_broken_file(
    make_job: MakeJob, readers: dict[str, Reader], tmp_path: Path
) -> None:
    groups = [[make_job(0)], [make_job(1, second="bug")], [make_job(2)]]
    with DecodePool(readers, workers=1, root=tmp_path, limits=Limits()) as pool:
        reading = pool.read(groups)
        assert is_right(next(reading)[0])
        with pytest.raises(ZeroDivisionError, match=r"1\.txt") as caught:
            next(reading)
        assert caught.value.__notes__ == ["This happened with the second of day/1."]
        assert isinstance(caught.value.__cause__, WorkerTraceback)
        assert "in _obey" in str(caught.value.__cause__) and "day/1" in str(caught.value.__cause__)
    with DecodePool(readers, workers=0, root=tmp_path, limits=Limits()) as pool, pytest.raises(ZeroDivisionError):
        list(pool.read(groups))


def test_an_exception_that_cannot_travel_comes_as_its_words(
    make_job: MakeJob, read_all: Callable[..., list[list[ReadJob]]]
) -> None:
    with pytest.raises(RuntimeError, match=r"OddError: all is odd in 0\.txt"):
        read_all([[make_job(0, first="oddbug")]], workers=1)


@pytest.mark.parametrize(("workers", "advice"), [(2, r"extract.workers=1\."), (1, "extract.workers=0 ")])
def test_processes_that_cannot_start_are_a_sentence(
    make_job: MakeJob, odd: ModuleType, tmp_path: Path, workers: int, advice: str
) -> None:
    readers = {"first": odd.Unstartable("first"), "second": odd.Unstartable("second")}
    with (
        nothing_left_behind(),
        DecodePool(readers, workers=workers, root=tmp_path, limits=Limits()) as pool,
        pytest.raises(WeldcacheError, match=rf"5 in a row \(exit status 9\).*Complete rows are safe.*{advice}"),
    ):
        list(pool.read([[make_job(0), make_job(1)]]))


def test_a_script_without_a_main_guard_is_told_of_it(
    make_job: MakeJob, readers: dict[str, Reader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process imports the program that it belongs to, and would run it again from its first line."""
    script = ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    (tmp_path / "script.py").write_text("from pathlib import Path\nPath(__file__).with_suffix('.ran').mkdir()\n1 / 0\n")
    monkeypatch.setitem(sys.modules, "__main__", script)
    with (
        DecodePool(readers, workers=2, root=tmp_path, limits=Limits()) as pool,
        pytest.raises(WeldcacheError, match="main guard"),
    ):
        list(pool.read([[make_job(0)]]))
    assert (tmp_path / "script.ran").exists()


def test_leaving_ends_the_processes_and_starts_nothing_more(
    make_job: MakeJob, readers: dict[str, Reader], tmp_path: Path
) -> None:
    groups = [[make_job(0)], *([make_job(row, first="hang")] for row in range(1, 20))]
    hanging: list[int] = []

    def marks() -> list[str]:
        return [path.read_text() for path in tmp_path.glob("*.pid")]

    with (
        nothing_left_behind(),
        pytest.raises(KeyboardInterrupt),
        DecodePool(readers, workers=2, root=tmp_path, limits=Limits()) as pool,
    ):
        for group in pool.read(groups):
            assert is_right(group[0])
            wait_for(lambda: len(marks()) == 2 and "" not in marks())
            hanging = [int(mark) for mark in marks()]
            raise KeyboardInterrupt
    assert len(hanging) == 2 and len(marks()) == 2
    assert not any(psutil.pid_exists(process) for process in hanging)


def test_what_is_decoded_ahead_is_bounded_by_what_is_taken(
    make_job: MakeJob, readers: dict[str, Reader], tmp_path: Path
) -> None:
    with DecodePool(readers, workers=2, root=tmp_path, limits=Limits()) as pool:
        reading = pool.read([[make_job(row, first="mark")] for row in range(40)])
        for taken in range(3):
            assert next(reading)[0].job.row == taken
            wait_for(lambda: len(list(tmp_path.glob("*.pid"))) >= 1 + taken + 5)  # noqa: B023
            time.sleep(0.1)
            assert len(list(tmp_path.glob("*.pid"))) == 1 + taken + 5  # three a worker, less the one taken
        reading.close()
        ((again,),) = pool.read([[make_job(50)]])
        assert is_right(again)
