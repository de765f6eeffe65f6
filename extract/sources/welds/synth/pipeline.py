"""The story of `weldcache synth`: plan, list the welds, write those that are missing, then the tables."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .....atomic import write_text
from .....wording import count_of, format_seconds, format_size
from ...synth import Made, Size, claimed_folder, write_each, write_record, write_settings
from ..latents import LATENTS_NAME
from .ceilings import Ceiling, ceilings, ceilings_as_json, ceilings_table
from .mistakes import with_mistakes
from .plan import SPLITS, SynthPlan, plan_for_size
from .planting import Faults, list_faults
from .roster import Weld, list_welds
from .tables import FURTHER_CHANNELS, counts_by_split, latents_text, manifest_text, planted_text
from .weld import write_weld

# Raise it when the same plan makes other data.
GENERATOR_VERSION = 1
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

    Run again, it writes only the welds that are missing, so an interrupted run can be finished. Raises as
    `claimed_folder`.
    """
    started = time.monotonic()
    welds = with_mistakes(list_welds(plan), plan=plan)
    faults = list_faults(welds, plan=plan)
    with claimed_folder(out, plan={"generator_version": GENERATOR_VERSION, **plan.to_json()}):
        write_text(out / LATENTS_NAME, latents_text(welds, plan=plan))
        missing = [weld for weld in welds if not (out / weld.key).is_dir()]
        write = partial(write_weld, out, plan=plan, faults=faults)
        write_each(write, missing, workers=workers, unit="welds", total=len(welds))
        further = FURTHER_CHANNELS if plan.observable else ""
        write_settings(out, preset=preset, usual=USUAL_PRESET, further=further)
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


class WeldGenerator:
    """The field's `Generator`; the command has options of its own for the rest of the plan."""

    def plan_for_size(self, size: Size, *, seed: int, plant: tuple[str, ...]) -> SynthPlan:
        return replace(plan_for_size(size, seed=seed), plant=plant)

    def generate(self, out: Path, *, plan: SynthPlan, workers: int, preset: str | None) -> Made:
        summary = generate(out, plan=plan, workers=workers, preset=preset)
        return Made(describe(summary), [ceilings_table(summary.ceilings)] if summary.ceilings else [])


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
    write_record(
        out,
        {
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
