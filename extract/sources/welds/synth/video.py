"""The film of the process: arc, melt pool, spatter and smoke over a seam that passes under a fixed camera."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from .photographs import shade
from .plan import MediaSize
from .pool import PoolMoment, draw_pool
from .recording import Recording, SessionLook
from .seam import Strip, bare_joint, draw_seam
from .state import NOMINAL_SPEED_CPM, ArcState, WeldState, along
from .texture import Plane, blur, gain_for_mean, to_bytes, value_noise

_POOL_COLUMN = 0.62  # of the frame's width
_TRAVEL = 2.2  # frame heights of seam that pass in a recording of typical length at nominal speed
_DARK_MEAN = 4.0  # grey value before the arc
_AFTERGLOW_SECONDS = 0.5
_STREAK_SECONDS = 0.02

Frame = UInt8[np.ndarray, "height width"]


@dataclass(frozen=True)
class _Stage:
    """What is drawn once for a film: strips that scroll past, and light that stays in the frame."""

    plate: Float32[np.ndarray, "height length"]
    bead: Float32[np.ndarray, "height length"]
    inside: Float32[np.ndarray, "height length"]
    travel: float
    halo: Plane
    smoke: Float32[np.ndarray, "tall width"]
    noise: Float32[np.ndarray, "larger wider"]
    torch: Plane
    unit: float


@dataclass(frozen=True)
class _Particles:
    """Droplets in flight, one row each: moment of birth (s), velocity (pixels/s), lifetime (s) and brightness."""

    birth: Float[np.ndarray, " particles"]
    velocity: Float[np.ndarray, "particles 2"]
    life: Float[np.ndarray, " particles"]
    light: Float[np.ndarray, " particles"]


def weld_frames(
    state: WeldState,
    *,
    recording: Recording,
    look: SessionLook,
    media: MediaSize,
    seam_generators: tuple[np.random.Generator, np.random.Generator],
    generator: np.random.Generator,
) -> Iterator[Frame]:
    """Grey frames one after another: dark, lit, dark. Lit frames have the mean in `recording`, apart from flicker."""
    arc = state.process
    stage = _set_stage(
        state, recording=recording, look=look, media=media, seam_generators=seam_generators, generator=generator
    )
    count = int(recording.video.total * recording.fps)
    places = recording.video.progress(np.arange(count) / recording.fps)
    lit = (places >= 0) & (places <= 1)
    wander = _wander(arc, places=places, generator=generator)
    flicker = _flicker(state, places=places, lit=lit, generator=generator)
    particles = _throw_particles(arc, seconds=recording.video.arc, unit=stage.unit, generator=generator)
    for number in range(count):
        place = float(places[number])
        if lit[number]:
            seconds = place * recording.video.arc
            scene = _lit_scene(state, stage=stage, place=place, wander=wander[number], seconds=seconds)
            _draw_particles(scene, particles=particles, seconds=seconds, stage=stage, wander=wander[number])
            scene *= stage.torch
            scene = scene * np.float32(
                gain_for_mean(scene[::2, ::2], mean=recording.video_mean * float(flicker[number]))
            )
        else:
            scene = _dark_scene(state, stage=stage, place=place, arc_seconds=recording.video.arc)
        yield to_bytes(scene + np.float32(look.video_noise) * _grain(stage, generator=generator))


def _set_stage(
    state: WeldState,
    *,
    recording: Recording,
    look: SessionLook,
    media: MediaSize,
    seam_generators: tuple[np.random.Generator, np.random.Generator],
    generator: np.random.Generator,
) -> _Stage:
    arc, width, height = state.process, media.frame_width, media.frame_height
    length = _TRAVEL * height * arc.speed / NOMINAL_SPEED_CPM * recording.video.total / media.typical_seconds
    start = int(_POOL_COLUMN * width)
    strip = Strip(height=height, width=width + int(length) + 2, start=start, end=start + int(length), unit=1.1 * height)
    sound, flawed = seam_generators
    relief = draw_seam(arc, strip=strip, sites=state.sites, look=look, generator=sound, flaw_generator=flawed)
    # The arc itself is the lamp: it shines along the seam from the pool.
    bead = shade(relief, columns=slice(None), azimuth=0.25, elevation=0.55)
    rows = (np.arange(height, dtype=np.float32) - height / 2)[:, None]
    columns = (np.arange(width, dtype=np.float32) - start)[None, :]
    distance = (rows * rows + columns * columns) / np.float32(height * height)
    halo = 1 / (1 + distance * np.float32(7))
    return _Stage(
        plate=bare_joint(strip, look=look, generator=generator),
        bead=np.asarray(bead.mean(axis=0), np.float32),
        inside=relief.bead,
        travel=float(length),
        halo=np.asarray(halo, np.float32),
        smoke=value_noise(generator, shape=(2 * height, width), cell=(height / 6, height / 4)),
        noise=generator.standard_normal((height + 64, width + 64), dtype=np.float32),
        torch=_torch(height, width),
        unit=float(height),
    )


def _torch(height: int, width: int) -> Plane:
    """The silhouette of nozzle and wire, which come in from above."""
    shadow = np.ones((height, width), np.float32)
    tip = np.array((_POOL_COLUMN * width + 0.02 * height, 0.36 * height))
    top = np.array((_POOL_COLUMN * width + 0.34 * height, -0.1 * height))
    side = np.array((0.13 * height, 0.06 * height))
    nozzle = np.stack([tip - 0.45 * side, tip + 0.75 * side, top + 1.4 * side, top - 0.9 * side])
    cv2.fillConvexPoly(shadow, np.rint(nozzle).astype(np.int32), 0.12)
    wire_end = (int(_POOL_COLUMN * width), int(0.47 * height))
    cv2.line(shadow, (int(tip[0]), int(tip[1])), wire_end, 0.3, max(1, height // 55))
    return blur(shadow, sigma=height / 160)


def _wander(
    arc: ArcState, *, places: Float[np.ndarray, " frames"], generator: np.random.Generator
) -> Float[np.ndarray, "frames 2"]:
    """How far the arc's root stands from the middle (rows, columns), in frame heights."""
    steps = generator.standard_normal((len(places), 2))
    smooth = cv2.blur(steps, (1, 3), borderType=cv2.BORDER_REFLECT)
    long_arc = max(float(np.log(arc.voltage / (14 + 0.05 * arc.current))), 0.0)
    return np.asarray((0.006 + 0.04 * (1 - arc.stability) + 0.06 * long_arc) * smooth)


def _flicker(
    state: WeldState,
    *,
    places: Float[np.ndarray, " frames"],
    lit: Bool[np.ndarray, " frames"],
    generator: np.random.Generator,
) -> Float[np.ndarray, " frames"]:
    """Brightness of each frame relative to the film's; its mean over the lit frames is exactly 1."""
    arc = state.process
    depth = 0.03 + 0.35 * (1 - arc.stability) + 0.25 * (1 - arc.shielding) * along(arc.extent, np.clip(places, 0, 1))
    flicker = np.exp(np.clip(depth * generator.standard_normal(len(places)), -1.0, 0.8))
    for site in state.sites:
        flicker *= 1 + 0.7 * np.exp(-(((places - site) / 0.015) ** 2))
    return np.asarray(flicker / max(float(flicker[lit].mean()), 1e-6))


def _throw_particles(arc: ArcState, *, seconds: float, unit: float, generator: np.random.Generator) -> _Particles:
    """Spatter droplets of the whole film."""
    amount = arc.flaws.spatter + 0.25 * max(0.0, 0.85 - arc.stability)
    count = int(seconds * (6 + 190 * amount))
    births = generator.uniform(0, seconds, size=count)
    keep = generator.random(count) < 0.25 + along(arc.extent, births / seconds) if amount > 0.1 else slice(None)
    angles = generator.uniform(-np.pi, 0.15 * np.pi, size=count)
    speeds = unit * generator.uniform(1.0, 3.6, size=count)
    velocity = np.stack([np.cos(angles), np.sin(angles)], axis=1) * speeds[:, None]
    return _Particles(
        birth=births[keep],
        velocity=velocity[keep],
        life=generator.uniform(0.08, 0.4, size=count)[keep],
        light=generator.uniform(0.6, 2.2, size=count)[keep],
    )


def _lit_scene(
    state: WeldState, *, stage: _Stage, place: float, wander: Float[np.ndarray, "2"], seconds: float
) -> Plane:
    """Light that reaches the camera while the arc burns, before exposure; the arc itself is about 4."""
    arc, unit = state.process, stage.unit
    height, width = stage.halo.shape
    here = np.array([place])
    heat = float(along(arc.profile, here)[0])
    extent = float(along(arc.extent, here)[0])
    first = int(place * stage.travel)
    window = slice(first, first + width)
    column = _POOL_COLUMN * width + float(wander[1]) * unit
    row = height / 2 + float(wander[0]) * unit + _drift_rows(arc, place=place, unit=unit)

    ahead = np.arange(width, dtype=np.float32) - np.float32(column)
    cooling = np.exp(ahead / np.float32(0.34 * unit * np.exp(arc.heat)))
    behind = np.clip(np.float32(0.5) - ahead / np.float32(0.03 * unit), 0, 1)
    bead, inside = stage.bead[:, window], stage.inside[:, window]
    scene = stage.plate[:, window] + (bead - stage.plate[:, window]) * behind[None, :]
    scene *= np.float32(0.03) + np.float32(0.75) * stage.halo
    glow = inside * (np.float32(0.75 * np.exp(0.8 * arc.heat)) * np.minimum(cooling, 1) * behind)[None, :]
    scene += glow * (np.float32(0.45) + bead)
    burst = float(sum(np.exp(-(((place - site) / 0.015) ** 2)) for site in state.sites))
    pool = PoolMoment(row=row, column=column, heat=heat, extent=extent, burst=burst, unit=unit, seconds=seconds)
    draw_pool(scene, arc=arc, moment=pool)
    starved = 1 - arc.shielding
    thick = np.float32(0.05 + 0.5 * starved * extent + 0.25 * arc.contamination * extent)
    offset = int((seconds * 0.9 * unit) % height)
    scene += thick * np.clip(stage.smoke[offset : offset + height] + np.float32(0.3), 0, None) * stage.halo
    return np.asarray(scene)


def _drift_rows(arc: ArcState, *, place: float, unit: float) -> float:
    """Rows by which the pool has left the middle: a warping plate moves under the torch."""
    return 0.2 * unit * arc.drift * float(np.sin(np.pi * place) - 0.45 + 0.35 * np.sin(2.6 * np.pi * place))


def _dark_scene(state: WeldState, *, stage: _Stage, place: float, arc_seconds: float) -> Plane:
    """What the camera sees by room light before the arc, and by the cooling seam's glow after it; exposed."""
    width = stage.halo.shape[1]
    first = int(min(max(place, 0.0), 1.0) * stage.travel)
    window = slice(first, first + width)
    if place < 0:
        scene = np.float32(0.4) * stage.plate[:, window]
        return np.asarray(scene * np.float32(_DARK_MEAN / max(float(scene.mean()), 1e-6)), np.float32)
    since = (place - 1) * arc_seconds
    columns = np.arange(width, dtype=np.float32) - np.float32(_POOL_COLUMN * width)
    hot = np.exp(-np.abs(columns) / np.float32(0.3 * stage.unit * np.exp(state.process.heat)))
    glow = stage.inside[:, window] * stage.bead[:, window] * hot[None, :]
    scene = np.float32(0.3) * stage.bead[:, window] + np.float32(14 * np.exp(-since / _AFTERGLOW_SECONDS)) * glow
    mean = _DARK_MEAN * (1 + 1.2 * float(np.exp(-since / _AFTERGLOW_SECONDS)))
    return np.asarray(scene * np.float32(gain_for_mean(scene[::2, ::2], mean=mean)), np.float32)


def _draw_particles(
    scene: Plane, *, particles: _Particles, seconds: float, stage: _Stage, wander: Float[np.ndarray, "2"]
) -> None:
    """Bright streaks of the droplets that are in flight, added into `scene`."""
    age = seconds - particles.birth
    flying = (age > 0) & (age < particles.life)
    if not flying.any():
        return
    height, width = scene.shape
    age, velocity = age[flying, None], particles.velocity[flying]
    origin = np.array((_POOL_COLUMN * width, height / 2)) + wander[::-1] * stage.unit
    fall = np.array((0.0, 2.0 * stage.unit))
    head = origin + velocity * age + fall * age**2
    trail = head - (velocity + 2 * fall * age) * _STREAK_SECONDS
    light = particles.light[flying] * (1 - age[:, 0] / particles.life[flying])
    canvas = np.zeros(scene.shape, np.uint8)
    thickness = max(1, round(stage.unit / 110))
    for start, end, strength in zip(np.rint(trail * 8).astype(int), np.rint(head * 8).astype(int), light, strict=True):
        grey = int(min(100 * strength, 255))
        cv2.line(canvas, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), grey, thickness, cv2.LINE_AA, 3)
    scene += canvas * np.float32(1 / 45)


def _grain(stage: _Stage, *, generator: np.random.Generator) -> Plane:
    """The camera's noise: a window on one large noise plate, elsewhere in each frame."""
    top, left = generator.integers(0, 64, size=2)
    height, width = stage.halo.shape
    return np.asarray(stage.noise[top : top + height, left : left + width])
