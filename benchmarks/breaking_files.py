"""Damaged media and tables: is each refused or told, or read as the sound one is; and does none of them hang?"""

import multiprocessing
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from breaking import HANGS, Tally

from weldcache.errors import WeldcacheError
from weldcache.extract.features.kind import Prepared
from weldcache.extract.plan import Job
from weldcache.extract.pool.read_job import read_job
from weldcache.extract.request import make_request
from weldcache.extract.sources.open import open_source
from weldcache.settings import Settings, load_settings

Damage = Callable[[bytes, random.Random], bytes]


def campaign(project: Path, scratch: Path, *, trials: int, seed: int) -> Iterator[Tally]:
    """Damage one file at a time: in every way that its kind of file can be, and in text in every way that shows."""
    trial_kinds = [(kind, name) for kind, ways in _WAYS.items() for name in ways]
    asked = [(seed + trial, *trial_kinds[trial % len(trial_kinds)]) for trial in range(trials)]
    tallies: dict[str, Tally] = {}
    context = multiprocessing.get_context("forkserver")
    while asked:
        connection, other = context.Pipe()
        process = context.Process(target=_serve, args=(other, project, scratch), daemon=True)
        process.start()
        other.close()
        while asked:
            number, kind, name = asked[0]
            connection.send(asked.pop(0))
            tally = tallies.setdefault(f"{kind} {name}", Tally(f"{kind}: {name}"))
            if not connection.poll(HANGS if number != seed else 10 * HANGS):  # the first one waits for imports
                tally.add("hangs", detail=f"seed {number}", fine=False)
                break
            try:
                outcome, detail = connection.recv()
            except EOFError:
                tally.add("process died")  # which the decode pool makes an unreadable file
                break
            tally.add(outcome, detail=f"seed {number}: {detail}", fine=outcome not in ("silent", "crash"))
        process.kill()
        process.join()
    yield from tallies.values()


def _serve(connection: Any, project: Path, scratch: Path) -> None:
    trials = _Trials(project, scratch)
    while True:
        number, kind, name = connection.recv()
        connection.send(trials.run(kind, _WAYS[kind][name], random.Random(number)))


class _Trials:
    """One sample's sound files, and what becomes of damaged ones."""

    def __init__(self, project: Path, scratch: Path) -> None:
        self._scratch = scratch / "damaged"
        shutil.rmtree(self._scratch, ignore_errors=True)
        shutil.copytree(project, self._scratch, ignore=shutil.ignore_patterns("features.zarr", "runs"))
        settings = _settings(self._scratch)
        request = make_request(settings, split="all")
        self._root = request.root
        self._sample = request.samples[0]
        self._readers = {name: encoder.reader for name, encoder in request.encoders.items()}
        self._sound = {name: self._read(name) for name in self._readers}
        self._listed = list(request.samples)

    def run(self, kind: str, damage: Damage, generator: random.Random) -> tuple[str, str]:
        """Damage a file, look, and put it right again; the outcome and its detail."""
        path = self._scratch / kind if kind not in self._readers else self._sample.files[kind][0]
        sound = path.read_bytes()
        path.write_bytes(damage(sound, generator))
        try:
            return self._look(kind)
        except Exception as error:
            return "crash", f"{type(error).__name__}: {error}"
        finally:
            path.write_bytes(sound)

    def _look(self, kind: str) -> tuple[str, str]:
        if kind in self._readers:
            return self._judge(self._read(kind), self._sound[kind])
        try:
            listed = open_source(_settings(self._scratch).data).samples()
        except WeldcacheError as error:
            return "refused", str(error)
        return ("same", "") if listed == self._listed else ("silent", "other samples")

    def _read(self, modality: str) -> Any:
        job = Job(row=0, sample=self._sample, decode=frozenset({modality}), write=frozenset())
        return read_job(job, readers=self._readers, root=self._root).prepared[modality]

    def _judge(self, found: Any, sound: Any) -> tuple[str, str]:
        if not isinstance(found, Prepared):
            return "refused", found.reason
        if set(found.notes) - set(sound.notes):
            return "told", "; ".join(found.notes)
        different = [name for name, tensor in sound.tensors.items() if not _equal(found.tensors[name], tensor)]
        return ("silent", ", ".join(different)) if different else ("same", "")


def _equal(mine: Any, other: Any) -> bool:
    return mine.shape == other.shape and bool(np.array_equal(mine.numpy(), other.numpy(), equal_nan=True))


def _settings(project: Path) -> Settings:
    return load_settings(folder=project, overrides=[f"data.root={project}", f"cache.path={project}/features.zarr"])


def _hole(content: bytes, generator: random.Random) -> bytes:
    start = generator.randrange(len(content) // 8, len(content) - 512)
    return content[:start] + bytes(512) + content[start + 512 :]


def _quarter(content: bytes, generator: random.Random) -> bytes:
    start, size = generator.randrange(len(content) // 4, len(content) // 2), len(content) // 4
    return content[:start] + bytes(size) + content[start + size :]


def _cut_out(content: bytes, generator: random.Random) -> bytes:
    start = generator.randrange(len(content) // 8, len(content) - 512)
    return content[:start] + content[start + 512 :]


def _put_in(content: bytes, generator: random.Random) -> bytes:
    start = generator.randrange(len(content) // 8, len(content))
    return content[:start] + generator.randbytes(64) + content[start:]


def _cut_short(content: bytes, generator: random.Random) -> bytes:
    return content[: generator.randrange(len(content))]


def _noise(content: bytes, generator: random.Random) -> bytes:
    return generator.randbytes(len(content))


def _lines(change: Callable[[list[str], int], None]) -> Damage:
    """A damage of one line of a table, which is not its first."""

    def damage(content: bytes, generator: random.Random) -> bytes:
        lines = content.decode().splitlines()
        change(lines, generator.randrange(1, len(lines)))
        return "\n".join(lines).encode() + b"\n"

    return damage


def _decimal_comma(lines: list[str], at: int) -> None:
    lines[at] = lines[at].replace(".", ",", 1) if "." in lines[at] else lines[at].replace(",", ",1,", 1)


def _comma_less(lines: list[str], at: int) -> None:
    lines[at] = lines[at].replace(",", "", 1)


def _word_for_number(lines: list[str], at: int) -> None:
    lines[at] = ",".join("n/a" if cell.replace(".", "").isdigit() else cell for cell in lines[at].split(","))


def _line_twice(lines: list[str], at: int) -> None:
    lines.insert(at, lines[at])


def _cut_in_line(lines: list[str], at: int) -> None:
    lines[at] = lines[at][: len(lines[at]) // 2]


def _absurd(lines: list[str], at: int) -> None:
    cells = lines[at].split(",")
    cells[3] = "1e30"
    lines[at] = ",".join(cells)


def _not_utf8(content: bytes, generator: random.Random) -> bytes:
    place = generator.randrange(len(content) // 2, len(content))
    return content[:place] + b"\xff\xfe" + content[place:]


_BINARY: dict[str, Damage] = {
    "512 bytes zeroed": _hole,
    "a quarter zeroed": _quarter,
    "512 bytes cut out": _cut_out,
    "64 bytes put in": _put_in,
    "cut short": _cut_short,
    "noise": _noise,
}
_TABLE: dict[str, Damage] = {
    "decimal comma": _lines(_decimal_comma),
    "a comma less": _lines(_comma_less),
    "words for numbers": _lines(_word_for_number),
    "a line cut": _lines(_cut_in_line),
    "not UTF-8": _not_utf8,
}
_WAYS: dict[str, dict[str, Damage]] = {
    "image": _BINARY,
    "video": _BINARY,
    "audio": _BINARY,
    "sensor": {**_TABLE, "1e30": _lines(_absurd)},
    "manifest.csv": {**_TABLE, "a line twice": _lines(_line_twice)},
}
