"""Synthetic data sets, a generator a field: which there are, and what all of them do with the folder that they write.

`synth_plan.json` is written first and says what the folder is meant to hold; `synth.json` is written last and says that
it does. So an interrupted run can be finished, and no other data is ever written over.
"""

import json
import multiprocessing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from rich.table import Table

from ...atomic import locked_folder, write_json, write_text
from ...cache.provenance import differences, differences_told
from ...configs.section import Named
from ...documents import read_document
from ...errors import OutputExistsError, SettingsError
from ...progress import Progress
from ...wording import listed, nearest_hint
from ..pool.workers import start_worker

PLAN_FILE = "synth_plan.json"
DONE_FILE = "synth.json"
SETTINGS_FILE = "weldcache.yaml"

Size = Literal["tiny", "small", "full"]
"""tiny: for tests, seconds; small: for a demo; full: as many samples as the real data has."""

Item = TypeVar("Item")
Plan = TypeVar("Plan")

_SOURCES = "weldcache.extract.sources"

GENERATORS = Named(
    "field",
    group="weldcache.generators",
    shipped={
        "welds": f"{_SOURCES}.welds.synth.pipeline:WeldGenerator",
        "cub": f"{_SOURCES}.cub.synth:CubGenerator",
        "anovox": f"{_SOURCES}.anovox.synth.pipeline:SceneGenerator",
        "modelnet": f"{_SOURCES}.modelnet.synth:ShapesGenerator",
    },
)
"""The generators by the names that `weldcache synth --field` takes."""

_SETTINGS_TEXT = """\
# Written by `weldcache synth`: in this folder, `weldcache extract`, `train` and `eval` use the data made here.
preset: {preset}
data:
  root: .
{further}cache:
  path: features.zarr
runs:
  folder: runs
"""


@dataclass(frozen=True)
class Made:
    """What a generator made: a line for a person, and tables of what is worth knowing of it."""

    told: str
    tables: Sequence[Table] = ()


class Generator(Protocol[Plan]):
    """What the package of a field offers."""

    def plan_for_size(self, size: Size, *, seed: int, plant: tuple[str, ...]) -> Plan:
        """All that decides what is written: equal plans make equal data, however many processes write it.

        `plant` names mistakes of a data set that are made on purpose, so that checks can be tried on them.

        Raises:
            SettingsError: if there is no such size or mistake.
        """

    def generate(self, out: Path, *, plan: Plan, workers: int, preset: str | None) -> Made:
        """Write the data set of `plan`, or what is missing of it, and the settings beside it, into the folder `out`.

        `preset` is what these settings build on; None: the field's own.

        Raises:
            OutputExistsError: as `claimed_folder`.
        """


@contextmanager
def claimed_folder(out: Path, *, plan: Mapping[str, object]) -> Iterator[None]:
    """Make the folder `out`, or take the one that is for the same plan, and hold it against other writers meanwhile.

    Raises:
        OutputExistsError: if `out` holds another plan's data or files of another origin.
        BusyError: if another process writes there.
    """
    if out.exists() and not (out / PLAN_FILE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(
            f"{out} is not empty and holds no {PLAN_FILE}, so it was not written by `weldcache synth`. "
            "Choose an empty or new folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    with locked_folder(out):
        _claim(out, plan=json.loads(json.dumps(plan)))
        yield


def write_record(out: Path, record: Mapping[str, object]) -> None:
    """Say, last of all, that the folder holds what its plan says; `record` tells how much that is."""
    write_json(out / DONE_FILE, {"generator": "weldcache synth", **record})


def synth_document(out: Path) -> dict[str, Any]:
    """What the record of a folder that is complete says of it."""
    return {"folder": str(out.resolve()), **read_document(out / DONE_FILE)}


def settings_text(preset: str, *, further: str = "") -> str:
    """`weldcache.yaml` for the data beside it; `further` are whole lines of its section `data`."""
    return _SETTINGS_TEXT.format(preset=preset, further=further)


def write_settings(out: Path, *, preset: str | None, usual: str, further: str = "") -> None:
    """Write them where there are none, or those that are there for another preset, if nobody changed them since."""
    path = out / SETTINGS_FILE
    if not path.exists():
        write_text(path, settings_text(preset or usual, further=further))
    elif preset is not None:
        there = path.read_text(encoding="utf-8", errors="replace")
        words = [line.removeprefix("preset: ") for line in there.splitlines() if line.startswith("preset: ")]
        if words and there == settings_text(words[0], further=further):
            write_text(path, settings_text(preset, further=further))


def write_each(write: Callable[[Item], object], items: Sequence[Item], *, workers: int, unit: str, total: int) -> None:
    """Write `items`, which are missing of `total`, in any order, with `workers` processes, and show how far it is.

    `unit` is what several are called in the bar, such as `pictures`.
    """
    with Progress("synth", total=total, unit=unit, done=total - len(items)) as progress:
        for _ in _each_written(write, items, workers=workers):
            progress.advance()


def _each_written(write: Callable[[Item], object], items: Sequence[Item], *, workers: int) -> Iterator[object]:
    if workers <= 1 or len(items) <= 1:
        yield from map(write, items)
        return
    # Forked children would share OpenCV's threads with the parent; a fork server is clean of them.
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(min(workers, len(items)), mp_context=context, initializer=start_worker)
    try:
        futures = [pool.submit(write, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_mistakes(plant: Sequence[str], *, known: Collection[str]) -> None:
    """Refuse mistakes to plant that a generator does not know.

    Raises:
        SettingsError: with those that it knows.
    """
    for name in plant:
        if name not in known:
            there_are = f"There are {listed(list(known))}." if known else "This field has none."
            raise SettingsError(f"There is no mistake {name!r} to plant.{nearest_hint(name, list(known))} {there_are}")


def _claim(out: Path, *, plan: Mapping[str, object]) -> None:
    """Say what the folder is for, or check that it is for this plan; what follows may take it apart again."""
    path = out / PLAN_FILE
    if not path.is_file():
        write_json(path, plan)
        return
    try:
        found = read_document(path)
    except ValueError as error:
        raise OutputExistsError(
            f"{path} does not say what the folder holds ({error}). Choose another folder, or delete this one."
        ) from None
    if found != plan:
        shown = "; ".join(differences_told(differences(found, plan), mine="there", theirs="asked for"))
        raise OutputExistsError(
            f"{out} holds synthetic data of another plan ({shown}). Choose another folder, or delete this one."
        )
    (out / DONE_FILE).unlink(missing_ok=True)
