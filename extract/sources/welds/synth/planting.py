"""Faults on purpose: recordings of which no file is there, or a broken one, so that readers can be tried on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from .plan import Purpose, SynthPlan, stream
from .roster import Weld

Fault = Literal["absent", "truncated", "zeros", "wrong_extension"]
Faults = Mapping[str, Fault]
"""Of one weld, by stream."""

_STREAMS = ("video", "audio", "image", "sensor")
_DAMAGES: tuple[Fault, ...] = ("truncated", "zeros", "wrong_extension")
_KEPT = 0.4  # of the bytes of a truncated file
_INTO_ROW = 12  # bytes, amid the stamp
_WRONG = ".dat"


def list_faults(welds: Sequence[Weld], *, plan: SynthPlan) -> dict[str, dict[str, Fault]]:
    """What is planted, by key and stream; the shares are of all recordings, photographs of one weld counting as one."""
    generator = stream(plan.seed, purpose=Purpose.PLANTED)
    recordings = [(weld.key, name) for weld in welds for name in _STREAMS]
    num_missing, num_damaged = (round(share * len(recordings)) for share in (plan.missing, plan.damage))
    order = generator.permutation(len(recordings)).tolist()
    kinds = generator.integers(len(_DAMAGES), size=num_damaged).tolist()
    missing: list[Fault] = ["absent"] * num_missing
    faults = [*missing, *(_DAMAGES[kind] for kind in kinds)]
    found: dict[str, dict[str, Fault]] = {}
    for place, fault in sorted(zip(order, faults, strict=False)):
        key, name = recordings[place]
        found.setdefault(key, {})[name] = fault
    return found


def plant(folder: Path, *, run: str, faults: Faults) -> None:
    """Take away or break the files of the weld in `folder`, all five photographs where these are meant."""
    files = {
        "video": [folder / f"{run}.avi"],
        "audio": [folder / f"{run}.flac"],
        "image": sorted((folder / "images").iterdir()),
        "sensor": [folder / f"{run}.csv"],
    }
    for name, fault in faults.items():
        for path in files[name]:
            _break(path, fault)


def _break(path: Path, fault: Fault) -> None:
    if fault == "absent":
        path.unlink()
    elif fault == "truncated":
        content = path.read_bytes()
        end = int(_KEPT * len(content))
        if path.suffix == ".csv":  # within a row: a table that ends with one is whole, for all that anybody can tell
            end = content.rfind(b"\n", 0, end) + _INTO_ROW
        path.write_bytes(content[:end])
    elif fault == "zeros":
        path.write_bytes(bytes(path.stat().st_size))
    else:
        path.rename(path.with_suffix(_WRONG))
