"""The tables beside the media: manifest, latents, what is planted."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from ..classes import CLASS_NAMES
from .defects import weld_state
from .plan import SPLITS, SynthPlan
from .planting import Faults
from .recording import recording_of, session_look
from .roster import Weld
from .sensors import OBSERVED

MANIFEST_COLUMNS = (
    "CATEGORY",
    "WELD_TYPE",
    "THICKNESS_MM",
    "STEEL_TYPE",
    "SAMPLES",
    "CURRENT_A",
    "VOLTAGE_V",
    "GAS_BAR",
    "ROBOT_SPEED_CPM",
    "DIRECTORY",
    "SUBDIRS",
    "SPLIT",
)

FURTHER_CHANNELS = f"  further_channels: {{{', '.join(f'{name}: {limit:g}' for name, limit in OBSERVED.items())}}}\n"
"""What the settings beside the data say where all channels of them are to be read."""


def manifest_text(welds: Iterable[Weld]) -> str:
    """`manifest.csv`: one row a weld, with the real data's columns."""
    rows = []
    for weld in welds:
        settings = weld.settings
        rows.append(
            (
                CLASS_NAMES[weld.code],
                settings.weld_type,
                settings.thickness_mm,
                settings.steel_type,
                weld.session_welds,
                settings.current_a,
                settings.voltage_v,
                settings.gas_bar,
                settings.robot_speed_cpm,
                weld.directory,
                weld.key,
                weld.split.upper(),
            )
        )
    return _csv_text(MANIFEST_COLUMNS, rows)


def latents_text(welds: Sequence[Weld], *, plan: SynthPlan) -> str:
    """`latents.csv`: the truth about each weld, for tests and for looking, never for training.

    Numbers are written with six significant digits, so that the last bits of a libm do not show.
    """
    rows = [_latents_of(weld, plan=plan) for weld in welds]
    columns = tuple(rows[0]) if rows else ("key",)
    return _csv_text(columns, [tuple(row.values()) for row in rows])


def planted_text(faults: Mapping[str, Faults]) -> str:
    """`planted.csv`: what is missing or broken on purpose, one row a recording."""
    rows = [(key, stream, fault) for key, of_weld in faults.items() for stream, fault in of_weld.items()]
    return _csv_text(("key", "stream", "fault"), rows)


def counts_by_split(welds: Iterable[Weld]) -> dict[str, dict[str, int]]:
    """Welds by split and class name, classes that do not occur left out."""
    counts: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    for weld in welds:
        name = CLASS_NAMES[weld.code]
        counts[weld.split][name] = counts[weld.split].get(name, 0) + 1
    return counts


def _latents_of(weld: Weld, *, plan: SynthPlan) -> Mapping[str, object]:
    state = weld_state(weld, seed=plan.seed, severities=plan.severity)
    look = session_look(weld.session, seed=plan.seed)
    recording = recording_of(weld.index, seed=plan.seed, look=look, media=plan.media)
    numbers = {
        "severity": state.severity,
        "video_seconds": recording.video.total,
        "audio_seconds": recording.audio.total,
        "sensor_seconds": recording.sensors.total,
        "arc_seconds": recording.video.arc,
        "video_mean": recording.video_mean,
        **{f"photograph_mean_{view}": mean for view, mean in enumerate(recording.photograph_means, start=1)},
        **{f"process_{name}": value for name, value in state.process.numbers().items()},
        **{f"result_{name}": value for name, value in state.result.numbers().items()},
    }
    return {
        "key": weld.key,
        "split": weld.split,
        "class": CLASS_NAMES[weld.code],
        "code": weld.code,
        "session": weld.directory,
        "causal_break": int(state.causal_break),
        "fps": recording.fps,
        **{name: f"{value:.6g}" for name, value in numbers.items()},
    }


def _csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
