"""Draws docs/contact_sheet.jpg: one synthetic weld of each class in all four modalities.

Run from anywhere: `python docs/make_contact_sheet.py`.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
import soundfile
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import spectrogram

from weldcache.extract.sources.welds.classes import CLASS_NAMES
from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import MediaSize, SynthPlan, class_counts, plan_for_size

CHANNELS = (
    ("Primary Weld Current", "current, A", "#c0392b"),
    ("Secondary Weld Voltage", "voltage × 5, V", "#2c5faa"),
    ("CO2 Weld Flow", "gas flow × 5, l/min", "#2e8b57"),
    ("Feed", "feed", "#8a6d3b"),
)
CURVE_SCALES = {"Secondary Weld Voltage": 5.0, "CO2 Weld Flow": 5.0}
COLUMN_TITLES = (
    "photograph",
    "photograph, other stretch",
    "frame of the film",
    "sound, 0 to 8 kHz",
    "machine's sensors",
)
TARGET_SEVERITY = 0.7


def main() -> None:
    """Make a few welds of each class, pick one of medium severity from each, and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("contact_sheet.jpg"))
    options = parser.parse_args()
    matplotlib.use("Agg")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "welds"
        generate(root, plan=contact_plan(options.seed), workers=2)
        figure = draw_sheet(root)
        figure.savefig(options.out, dpi=72, pil_kwargs={"quality": 85, "optimize": True})


def contact_plan(seed: int) -> SynthPlan:
    """Four welds of each class, with larger pictures than the demo's."""
    return replace(
        plan_for_size("small", seed=seed),
        train=class_counts(good=0, defects=0),
        val=class_counts(good=0, defects=0),
        test=class_counts(good=4, defects=44),
        media=MediaSize(384, 240, 800, 360, 5.0, 7.0),
    )


def draw_sheet(root: Path) -> Figure:
    """One row a class: two photographs, a frame, a spectrogram and the sensor curves."""
    chosen = choose_welds(pd.read_csv(root / "latents.csv", dtype={"code": str}))
    figure, axes = pyplot.subplots(
        len(chosen), 5, figsize=(20, 1.72 * len(chosen)), width_ratios=(2.2, 2.2, 1.6, 1.9, 1.9), layout="constrained"
    )
    for row, weld in zip(axes, chosen.itertuples(), strict=True):
        folder = root / str(weld.key)
        draw_weld(row, folder)
        name = CLASS_NAMES[str(weld.code)].replace("_", " ").replace(" w ", " with\n")
        severity = "" if weld.severity == 0 else f"\nseverity {weld.severity:.2f}"
        row[0].set_ylabel(f"{name}{severity}", fontsize=11)
    for axis, title in zip(axes[0], COLUMN_TITLES, strict=True):
        axis.set_title(title, fontsize=12)
    axes[-1][4].legend(ncols=2, fontsize=7, loc="lower center", framealpha=0.9)
    return figure


def choose_welds(latents: pd.DataFrame) -> pd.DataFrame:
    """The weld of each class whose severity is nearest to `TARGET_SEVERITY`, causal breaks left out."""
    whole = latents[latents["causal_break"] == 0].assign(away=lambda table: (table["severity"] - TARGET_SEVERITY).abs())
    return whole.sort_values("away").drop_duplicates("code").sort_values("code")


def draw_weld(axes: np.ndarray, folder: Path) -> None:
    """Fill one row of the sheet from the files of one weld."""
    photographs = sorted((folder / "images").glob("*.jpg"))
    for axis, path in zip(axes[:2], (photographs[2], photographs[4]), strict=True):
        axis.imshow(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
    axes[2].imshow(middle_frame(folder / f"{folder.name}.avi"))
    draw_spectrogram(axes[3], folder / f"{folder.name}.flac")
    draw_sensors(axes[4], folder / f"{folder.name}.csv")
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])


def middle_frame(path: Path) -> np.ndarray:
    """The frame halfway through a film."""
    film = cv2.VideoCapture(str(path))
    film.set(cv2.CAP_PROP_POS_FRAMES, film.get(cv2.CAP_PROP_FRAME_COUNT) // 2)
    _, frame = film.read()
    film.release()
    return np.asarray(frame)


def draw_spectrogram(axis: Axes, path: Path) -> None:
    """Power of the sound over time and frequency, in decibels."""
    sound, rate = soundfile.read(path)
    _, _, power = spectrogram(sound, fs=rate, nperseg=512, noverlap=384)
    decibels = 10 * np.log10(power + 1e-12)
    axis.imshow(decibels, origin="lower", aspect="auto", cmap="magma", vmin=-105, vmax=-45)


def draw_sensors(axis: Axes, path: Path) -> None:
    """Four of the six channels over time."""
    table = pd.read_csv(path, index_col=False)
    for column, label, colour in CHANNELS:
        axis.plot(table[column] * CURVE_SCALES.get(column, 1.0), color=colour, linewidth=1, label=label)
    axis.set_ylim(-5, 420)


if __name__ == "__main__":
    main()
