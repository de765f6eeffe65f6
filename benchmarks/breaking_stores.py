"""Faults in a finished store, one at a time: does `verify` see each, and call nothing wrong that is sound?"""

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from breaking import Commands, Tally, content_of

from weldcache.errors import WeldcacheError

Fault = Callable[[Path, random.Random], str]  # harms one file of a store; returns what it did


def campaign(commands: Commands, store: Path, scratch: Path, *, trials: int, seed: int) -> Iterator[Tally]:
    """Harm a copy of the store in every way in turn, verify it, and put the copy right again."""
    generator = random.Random(seed)
    work, log, whole = scratch / "harmed.zarr", scratch / "log.txt", content_of(store)
    tallies = {name: Tally(f"store: {name}") for name in _FAULTS}
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(store, work)
    sound = Tally("store: sound")
    code = _verify(commands, work, log)
    sound.add("nothing found" if code == 0 else "false alarm", detail=log.read_text()[-500:], fine=code == 0)
    yield sound
    for trial in range(trials):
        name = list(_FAULTS)[trial % len(_FAULTS)]
        did = _FAULTS[name](work, generator)
        code = _verify(commands, work, log)
        said = log.read_text()
        if code is None:
            tallies[name].add("hangs", detail=did, fine=False)
        elif "Traceback" in said or "fault of weldcache" in said:
            tallies[name].add("crash", detail=f"{did}: {said[-300:]}", fine=False)
        elif code != 0:
            tallies[name].add("found")
        elif _tells_the_same(work, whole):
            tallies[name].add("harmless")
        else:
            tallies[name].add("silent", detail=did, fine=False)
        shutil.rmtree(work)
        shutil.copytree(store, work)
    yield from (tally for tally in tallies.values() if tally.num_trials)


def _verify(commands: Commands, store: Path, log: Path) -> int | None:
    return commands.run("verify", "--no-sources", "--cache", str(store), folder=store.parent, log=log)


def _tells_the_same(store: Path, whole: dict[str, object]) -> bool:
    try:
        return content_of(store) == whole
    except (WeldcacheError, OSError):
        return False


def _any_file(store: Path, generator: random.Random, *, pattern: str = "*") -> Path:
    files = sorted(path for path in store.rglob(pattern) if path.is_file() and path.stat().st_size)
    return generator.choice(files)


def _chunk(store: Path, generator: random.Random, group: str = "features") -> Path:
    return _any_file(store / group, generator, pattern="c*.*")


def _flip(store: Path, generator: random.Random) -> str:
    path = _any_file(store, generator)
    content = bytearray(path.read_bytes())
    place = generator.randrange(len(content))
    content[place] ^= 1 << generator.randrange(8)
    path.write_bytes(content)
    return f"byte {place} of {path}"


def _cut(store: Path, generator: random.Random) -> str:
    path = _any_file(store, generator)
    os.truncate(path, generator.randrange(path.stat().st_size))
    return f"cut {path}"


def _zero(store: Path, generator: random.Random) -> str:
    path = _chunk(store, generator)
    path.write_bytes(bytes(path.stat().st_size))
    return f"zeros in {path}"


def _gone(store: Path, generator: random.Random) -> str:
    path = _any_file(store, generator)
    path.unlink()
    return f"removed {path}"


def _swap(store: Path, generator: random.Random) -> str:
    first = _chunk(store, generator)
    others = [path for path in sorted(first.parent.glob("c*.*")) if path.read_bytes() != first.read_bytes()]
    if not others:
        return f"nothing to exchange with {first}"
    second = generator.choice(others)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    return f"{first} and {second.name} exchanged"


def _copy(store: Path, generator: random.Random) -> str:
    target = _chunk(store, generator)
    same_size = [
        path
        for path in sorted((store / "features").rglob("c*.*"))
        if path.stat().st_size == target.stat().st_size and path != target
    ]
    source = generator.choice(same_size)
    shutil.copyfile(source, target)
    return f"{source} copied over {target}"


def _number(store: Path, generator: random.Random) -> str:
    path = _any_file(store, generator, pattern="zarr.json")
    text = path.read_text()
    digits = [found.start() for found in re.finditer(r"\d", text)]
    place = generator.choice(digits)
    path.write_text(text[:place] + str((int(text[place]) + generator.randint(1, 9)) % 10) + text[place + 1 :])
    return f"digit {place} of {path}: {text[max(place - 30, 0) : place + 10]!r}"


def _record(store: Path, generator: random.Random) -> str:
    """A status, note, list of sources or digest taken away or put in another's place."""
    groups = [name for name in ("status", "problem", "source", "digest") if any((store / name).rglob("c.*"))]
    path = _chunk(store, generator, generator.choice(groups))
    siblings = [other for other in sorted(path.parent.parent.rglob("c*.*")) if other.parent != path.parent]
    if siblings and generator.random() < 0.5:
        shutil.copyfile(generator.choice(siblings), path)
        return f"another's over {path}"
    path.unlink()
    return f"removed {path}"


def _link(store: Path, generator: random.Random) -> str:
    path = _any_file(store, generator)
    outside = store.with_name("outside")
    shutil.copyfile(path, outside)
    path.unlink()
    path.symlink_to(outside)
    return f"a link for {path}"


def _pipe(store: Path, generator: random.Random) -> str:
    path = _any_file(store, generator)
    path.unlink()
    os.mkfifo(path)
    return f"a pipe for {path}"


def _folder(store: Path, generator: random.Random) -> str:
    path = _any_file(store, generator)
    path.unlink()
    path.mkdir()
    return f"a folder for {path}"


_FAULTS: dict[str, Fault] = {
    "a bit": _flip,
    "cut": _cut,
    "zeros": _zero,
    "gone": _gone,
    "rows exchanged": _swap,
    "another chunk's bytes": _copy,
    "a digit of metadata": _number,
    "records": _record,
    "link": _link,
    "pipe": _pipe,
    "folder": _folder,
}
