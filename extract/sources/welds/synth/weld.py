"""Writes one weld: its sensor file, sound, film, photographs and masks, in a folder that is whole or absent."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import soundfile
from jaxtyping import UInt8

from .....atomic import scratch_folder
from .....errors import WeldcacheError, disk_named
from ..classes import GOOD_CODE
from .audio import SAMPLE_RATE, weld_sound
from .defects import weld_state
from .mistakes import draw_code
from .photographs import draw_sticker, weld_photographs
from .plan import CODE_IN_PICTURE, Purpose, SynthPlan, stream
from .planting import Faults, plant
from .recording import recording_of, session_look
from .roster import Weld
from .sensors import observed_readings, sensor_csv, sensor_readings, sensor_times
from .video import weld_frames

_JPEG_QUALITY = 92
_SHIFT_STARTS = (datetime.time(7, 5), datetime.time(14, 20))
_MINUTES_BETWEEN_WELDS = 9


def write_weld(out: Path, weld: Weld, *, plan: SynthPlan, faults: Mapping[str, Faults]) -> int:
    """Write the folder of `weld` under `out`, with what `faults` has for its key planted; return its size in bytes.

    The folder is filled under a temporary name and renamed. Files are not synced one by one: after a power cut, delete
    the folder and generate again.
    """
    folder = out / weld.key
    with disk_named(folder), scratch_folder(folder) as temporary:
        _write_files(temporary, weld=weld, plan=plan)
        plant(temporary, run=weld.run, faults=faults.get(weld.key, {}))
        size = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
        temporary.rename(folder)
    return size


def _write_files(folder: Path, *, weld: Weld, plan: SynthPlan) -> None:
    seed, index = plan.seed, weld.index
    look = session_look(weld.session, seed=seed)
    recording = recording_of(index, seed=seed, look=look, media=plan.media)
    state = weld_state(weld, seed=seed, severities=plan.severity)

    generator = stream(seed, purpose=Purpose.SENSORS, index=index)
    times = sensor_times(recording.sensors, generator=generator)
    readings = sensor_readings(state, clock=recording.sensors, times=times, generator=generator)
    further = observed_readings(state, clock=recording.sensors, times=times, generator=generator)
    text = sensor_csv(readings, times=times, start=_start_of(weld), further=further if plan.observable else None)
    (folder / f"{weld.run}.csv").write_text(text, encoding="ascii", newline="")

    generator = stream(seed, purpose=Purpose.AUDIO, index=index)
    sound = weld_sound(state, clock=recording.audio, look=look, generator=generator)
    soundfile.write(folder / f"{weld.run}.flac", sound, SAMPLE_RATE, subtype="PCM_16")

    frames = weld_frames(
        state,
        recording=recording,
        look=look,
        media=plan.media,
        seam_generators=_seam_generators(seed, index),
        generator=stream(seed, purpose=Purpose.VIDEO, index=index),
    )
    size = (plan.media.frame_width, plan.media.frame_height)
    _write_film(folder / f"{weld.run}.avi", frames=frames, fps=recording.fps, size=size)
    _write_photographs(folder, weld=weld, plan=plan)


def _write_photographs(folder: Path, *, weld: Weld, plan: SynthPlan) -> None:
    """Photographs of every weld; masks of defective welds only, empty where a view shows no flaw."""
    look = session_look(weld.session, seed=plan.seed)
    photographs = weld_photographs(
        weld_state(weld, seed=plan.seed, severities=plan.severity),
        recording=recording_of(weld.index, seed=plan.seed, look=look, media=plan.media),
        look=look,
        media=plan.media,
        seam_generators=_seam_generators(plan.seed, weld.index),
        generator=stream(plan.seed, purpose=Purpose.PHOTOGRAPHS, index=weld.index),
    )
    for number, photograph in enumerate(photographs, start=1):
        if plan.confounded:
            draw_sticker(photograph.pixels, text=weld.run)
        if CODE_IN_PICTURE in plan.plant:
            draw_code(photograph.pixels, text=weld.code)
        _write_image(folder / "images" / f"{weld.run}_view{number}.jpg", photograph.pixels)
        if weld.code != GOOD_CODE:
            mask = photograph.flawed.astype(np.uint8) * np.uint8(255)
            _write_image(folder / "masks" / f"{weld.run}_view{number}.png", mask)


def _seam_generators(seed: int, index: int) -> tuple[np.random.Generator, np.random.Generator]:
    return (
        stream(seed, purpose=Purpose.SEAM, index=index),
        stream(seed, purpose=Purpose.SEAM_DEFECTS, index=index),
    )


def _start_of(weld: Weld) -> datetime.datetime:
    """Wall-clock time at which the weld's recording starts."""
    first = datetime.datetime.combine(weld.date, _SHIFT_STARTS[weld.session % 2])
    return first + datetime.timedelta(minutes=_MINUTES_BETWEEN_WELDS * (weld.index % 20))


def _write_image(path: Path, pixels: UInt8[np.ndarray, "..."]) -> None:
    path.parent.mkdir(exist_ok=True)
    options = (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY) if path.suffix == ".jpg" else ()
    if not cv2.imwrite(str(path), pixels, options):
        raise WeldcacheError(f"OpenCV could not write {path}: check the free space and the rights of the folder.")


def _write_film(
    path: Path, *, frames: Iterator[UInt8[np.ndarray, "height width"]], fps: int, size: tuple[int, int]
) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FMP4"), fps, size)
    if not writer.isOpened():
        raise WeldcacheError(
            f"OpenCV could not open {path} for an FMP4 film: this build of OpenCV has no FFmpeg. "
            "Install opencv-python-headless from PyPI."
        )
    try:
        for frame in frames:
            writer.write(cv2.merge((frame, frame, frame)))
    finally:
        writer.release()
