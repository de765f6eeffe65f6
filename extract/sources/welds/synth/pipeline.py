"""The story of `weldcache synth`: plan, list the welds, write those that are missing, then the tables."""

import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from .....atomic import locked_folder, write_json, write_text
from .....cache.provenance import differences, differences_told
from .....documents import read_document
from .....errors import OutputExistsError
from .....progress import Progress
from .....wording import count_of, format_seconds, format_size
from ....pool.workers import start_worker
from ..latents import LATENTS_NAME
from .ceilings import Ceiling, ceilings, ceilings_as_json
from .mistakes import with_mistakes
from .plan import SPLITS, SynthPlan
from .planting import Faults, list_faults
from .roster import Weld, list_welds
from .tables import counts_by_split, latents_text, manifest_text, planted_text, preset_written, settings_text
from .weld import write_weld

# Raise it when the same plan makes other data.
GENERATOR_VERSION = 1
PLAN_FILE = "synth_plan.json"
DONE_FILE = "synth.json"
PLANTED_FILE = "planted.csv"
USUAL_PRESET = "demo"


@dataclass(frozen=True)
class SynthSummary:
    """What `generate` left behind: welds by split, the classes' names, bytes of media, what this run did, and how well
    the true states tell defects."""

    num_welds: dict[str, int]
    classes: tuple[str, ...]
    num_bytes: int
    num_written: int
    num_planted: int
    seconds: float
    ceilings: Mapping[str, Ceiling] = field(default_factory=dict)


def generate(out: Path, *, plan: SynthPlan, workers: int, preset: str | None = None) -> SynthSummary:
    """Write the data set of `plan` into the folder `out`, with `workers` processes.

    `preset` is what the settings beside it build on; None: `USUAL_PRESET`, or as they are, where there are some.

    `synth_plan.json` is written first and says what the folder is meant to hold; `synth.json` is written last and says
    that it does. Run again, it writes only the welds that are missing, so an interrupted run can be finished. Raises
    `OutputExistsError` if `out` holds another plan's data or files of another origin.
    """
    started = time.monotonic()
    welds = with_mistakes(list_welds(plan), plan=plan)
    faults = list_faults(welds, plan=plan)
    _refuse_foreign(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked_folder(out):
        _claim_folder(out, plan=plan)
        write_text(out / LATENTS_NAME, latents_text(welds, plan=plan))
        missing = [weld for weld in welds if not (out / weld.key).is_dir()]
        with Progress("synth", total=len(welds), unit="welds", done=len(welds) - len(missing)) as progress:
            for _ in _write_welds(out, welds=missing, plan=plan, faults=faults, workers=workers):
                progress.advance()
        _write_settings(out / "weldcache.yaml", plan=plan, preset=preset)
        return _finish(out, welds=welds, plan=plan, faults=faults, num_written=len(missing), started=started)


def describe(summary: SynthSummary) -> str:
    """`summary` in a line for a person."""
    welds = ", ".join(f"{split} {number}" for split, number in summary.num_welds.items())
    total = sum(summary.num_welds.values())
    classes = count_of(len(summary.classes), "class", "classes")
    media = f"{count_of(total, 'weld')} of {classes} ({welds}), {format_size(summary.num_bytes)}"
    if summary.num_planted:
        media += (
            f"; {count_of(summary.num_planted, 'recording')} missing or broken on purpose, listed in {PLANTED_FILE}"
        )
    if summary.num_written == 0:
        return f"Complete already, nothing to do: {media}."
    return (
        f"Wrote {count_of(summary.num_written, 'weld')} in {format_seconds(summary.seconds)}; the folder holds {media}."
    )


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds something and was not written by `generate`, or a file."""
    if out.exists() and not (out / PLAN_FILE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(
            f"{out} is not empty and holds no {PLAN_FILE}, so it was not written by `weldcache synth`. "
            "Choose an empty or new folder."
        )


def _claim_folder(out: Path, *, plan: SynthPlan) -> None:
    """Say what the folder is for, or check that it is for this plan; clear what an interrupted run left half done."""
    wanted = json.loads(json.dumps({"generator_version": GENERATOR_VERSION, **plan.to_json()}))
    plan_path = out / PLAN_FILE
    if not plan_path.is_file():
        write_json(plan_path, wanted)
        return
    try:
        found = read_document(plan_path)
    except ValueError as error:
        raise OutputExistsError(
            f"{plan_path} does not say what the folder holds ({error}). Choose another folder, or delete this one."
        ) from None
    if found != wanted:
        shown = "; ".join(differences_told(differences(found, wanted), mine="there", theirs="asked for"))
        raise OutputExistsError(
            f"{out} holds synthetic data of another plan ({shown}). Choose another folder, or delete this one."
        )
    (out / DONE_FILE).unlink(missing_ok=True)


def _write_welds(
    out: Path, *, welds: Sequence[Weld], plan: SynthPlan, faults: Mapping[str, Faults], workers: int
) -> Iterator[int]:
    """Write `welds` in any order and yield the bytes of each when it is done."""
    if workers <= 1 or len(welds) <= 1:
        for weld in welds:
            yield write_weld(out, weld=weld, plan=plan, faults=faults.get(weld.key, {}))
        return
    # Forked children would share OpenCV's threads with the parent; a fork server is clean of them.
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(min(workers, len(welds)), mp_context=context, initializer=start_worker)
    try:
        futures = [
            pool.submit(write_weld, out, weld=weld, plan=plan, faults=faults.get(weld.key, {})) for weld in welds
        ]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_settings(path: Path, *, plan: SynthPlan, preset: str | None) -> None:
    """Write them where there are none, or those there are of another preset and not changed by anybody."""
    if not path.exists():
        write_text(path, settings_text(plan, preset=preset or USUAL_PRESET))
    elif preset is not None and preset_written(path.read_text(encoding="utf-8", errors="replace"), plan) is not None:
        write_text(path, settings_text(plan, preset=preset))


def _finish(
    out: Path,
    *,
    welds: Sequence[Weld],
    plan: SynthPlan,
    faults: Mapping[str, Faults],
    num_written: int,
    started: float,
) -> SynthSummary:
    write_text(out / "manifest.csv", manifest_text(welds))
    if faults:
        write_text(out / PLANTED_FILE, planted_text(faults))
    num_bytes = sum(path.stat().st_size for weld in welds for path in (out / weld.key).rglob("*") if path.is_file())
    counts = counts_by_split(welds)
    summary = SynthSummary(
        num_welds={split: sum(counts[split].values()) for split in SPLITS},
        classes=tuple(dict.fromkeys(name for split in SPLITS for name in counts[split])),
        num_bytes=num_bytes,
        num_written=num_written,
        num_planted=sum(map(len, faults.values())),
        seconds=time.monotonic() - started,
        ceilings=ceilings((out / LATENTS_NAME).read_text(encoding="utf-8")),
    )
    write_json(
        out / DONE_FILE,
        {
            "generator": "weldcache synth",
            "generator_version": GENERATOR_VERSION,
            "size": plan.size,
            "seed": plan.seed,
            "confounded": plan.confounded,
            "num_bytes": num_bytes,
            "welds": counts,
            **({"planted": summary.num_planted} if faults else {}),
            "ceilings": ceilings_as_json(summary.ceilings),
        },
    )
    return summary
