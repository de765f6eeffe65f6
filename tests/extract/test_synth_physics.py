"""The latent state shows in every modality: the result follows the process, and flaws are visible."""

from dataclasses import replace

import numpy as np
import pytest

from weldcache.extract.sources.welds.classes import CLASS_NAMES, DEFECT_CODES
from weldcache.extract.sources.welds.synth.audio import weld_sound
from weldcache.extract.sources.welds.synth.defects import CAUSAL_BREAK_CODES, CAUSAL_BREAK_SHARE, weld_state
from weldcache.extract.sources.welds.synth.photographs import Photograph, weld_photographs
from weldcache.extract.sources.welds.synth.plan import Purpose, plan_for_size, stream
from weldcache.extract.sources.welds.synth.recording import recording_of, session_look
from weldcache.extract.sources.welds.synth.roster import Weld, list_welds
from weldcache.extract.sources.welds.synth.sensors import sensor_readings, sensor_times
from weldcache.extract.sources.welds.synth.state import WeldState
from weldcache.extract.sources.welds.synth.video import weld_frames

PLAN = plan_for_size("tiny")
SMALL = plan_for_size("small")
LOOK = session_look(0, seed=0)
RECORDING = recording_of(0, seed=0, look=LOOK, media=PLAN.media)


def weld_of(code: str, *, index: int = 0) -> Weld:
    """A weld of class `code` with the settings of weld number `index` of the tiny plan."""
    return replace(list_welds(PLAN)[index], code=code)


def with_heat(factor: float) -> WeldState:
    """A sound weld whose current is `factor` times the usual."""
    weld = weld_of("00")
    settings = replace(weld.settings, current_a=round(205 * factor), voltage_v=24.0, robot_speed_cpm=46)
    return weld_state(replace(weld, settings=settings), seed=0)


def photographs_of(state: WeldState) -> list[Photograph]:
    return weld_photographs(
        state,
        recording=RECORDING,
        look=LOOK,
        media=PLAN.media,
        seam_generators=(stream(0, purpose=Purpose.SEAM), stream(0, purpose=Purpose.SEAM_DEFECTS)),
        generator=stream(0, purpose=Purpose.PHOTOGRAPHS),
    )


def frames_of(state: WeldState) -> np.ndarray:
    frames = weld_frames(
        state,
        recording=RECORDING,
        look=LOOK,
        media=PLAN.media,
        seam_generators=(stream(0, purpose=Purpose.SEAM), stream(0, purpose=Purpose.SEAM_DEFECTS)),
        generator=stream(0, purpose=Purpose.VIDEO),
    )
    return np.stack(list(frames)).astype(np.float32)


def readings_of(state: WeldState) -> np.ndarray:
    generator = stream(0, purpose=Purpose.SENSORS)
    times = sensor_times(RECORDING.sensors, generator=generator)
    return sensor_readings(state, clock=RECORDING.sensors, times=times, generator=generator)


def sound_of(state: WeldState) -> np.ndarray:
    generator = stream(0, purpose=Purpose.AUDIO)
    return weld_sound(state, clock=RECORDING.audio, look=LOOK, generator=generator).astype(np.float64)


def log_spectrum(sound: np.ndarray) -> np.ndarray:
    """Mean power in 24 bands, in natural logarithms."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    return np.log([band.mean() for band in np.array_split(power[40:], 24)])


@pytest.mark.parametrize("code", [code for code in DEFECT_CODES if code != "10"])
def test_a_severe_flaw_changes_the_photograph_where_its_mask_says(code: str) -> None:
    severe = weld_state(unbroken(code), seed=0, severity=1.0)
    twin = weld_state(unbroken(code), seed=0, severity=0.0)
    inside, outside = [], []
    for bad, good in zip(photographs_of(severe), photographs_of(twin), strict=True):
        change = np.abs(bad.pixels.astype(float) - good.pixels.astype(float)).mean(axis=2)
        inside.append(change[bad.flawed])
        outside.append(change[~bad.flawed])
        assert not good.flawed.any()
    changed = np.concatenate(inside)
    assert changed.size > 50
    assert changed.mean() > 25 and changed.mean() > 1.4 * np.concatenate(outside).mean()


def unbroken(code: str) -> Weld:
    """A weld of class `code` whose causal link holds."""
    welds = (weld_of(code, index=index) for index in range(20))
    return next(weld for weld in welds if not weld_state(weld, seed=0).causal_break)


def test_a_warped_seam_leaves_the_straight_line() -> None:
    weld = weld_of("10")
    change = [
        np.abs(bad.pixels.astype(float) - good.pixels.astype(float)).mean()
        for bad, good in zip(
            photographs_of(weld_state(weld, seed=0, severity=1.0)),
            photographs_of(weld_state(weld, seed=0, severity=0.0)),
            strict=True,
        )
    ]
    assert np.mean(change) > 12


@pytest.mark.parametrize("code", DEFECT_CODES)
def test_severity_scales_what_a_photograph_shows(code: str) -> None:
    weld = unbroken(code)
    good = photographs_of(weld_state(weld, seed=0, severity=0.0))
    changes = []
    for severity in (0.1, 1.0):
        bad = photographs_of(weld_state(weld, seed=0, severity=severity))
        pairs = zip(bad, good, strict=True)
        changes.append(np.mean([np.abs(b.pixels.astype(float) - g.pixels.astype(float)).mean() for b, g in pairs]))
    assert changes[1] > 1.5 * changes[0]


@pytest.mark.parametrize("code", DEFECT_CODES)
def test_every_defect_shows_in_the_film_the_sound_and_the_sensors(code: str) -> None:
    weld = unbroken(code)
    severe, twin = weld_state(weld, seed=0, severity=1.0), weld_state(weld, seed=0, severity=0.0)
    film = np.abs(frames_of(severe).mean(axis=0) - frames_of(twin).mean(axis=0)).mean()
    sound = np.abs(log_spectrum(sound_of(severe)) - log_spectrum(sound_of(twin))).max()
    sensors = np.abs(readings_of(severe) - readings_of(twin)).mean(axis=0) / np.array([4.9, 50, 180, 336, 100, 82])
    assert film > 0.4
    assert sound > 0.15
    assert sensors.max() > 0.005


def test_the_seam_follows_the_heat_of_the_process() -> None:
    cold, hot = with_heat(0.8), with_heat(1.2)
    assert hot.process is hot.result and hot.process.heat > cold.process.heat + 0.3
    assert bead_width(photographs_of(hot)) > 1.25 * bead_width(photographs_of(cold))


def bead_width(photographs: list[Photograph]) -> float:
    """Rows over which ripples make neighbouring columns differ much, averaged over the views."""
    busy = []
    for photograph in photographs:
        grey = photograph.pixels.mean(axis=2)
        contrast = np.abs(grey[:, 4:] - grey[:, :-4]).mean(axis=1)
        busy.append((contrast > 0.4 * contrast.max()).sum())
    return float(np.mean(busy))


def test_the_pool_grows_with_the_heat_and_the_sound_and_sensors_tell_it() -> None:
    cold, hot = with_heat(0.8), with_heat(1.2)
    assert readings_of(hot)[:, 3].max() > 1.3 * readings_of(cold)[:, 3].max()
    assert np.abs(log_spectrum(sound_of(hot)) - log_spectrum(sound_of(cold))).max() > 0.3
    # The exposure holds the mean, so a larger pool is a larger bright patch, not a brighter film.
    frames = [frames_of(state) for state in (hot, cold)]
    lit = [film[film.mean(axis=(1, 2)) > 20] for film in frames]
    assert lit[0].mean() == pytest.approx(lit[1].mean(), rel=0.03)
    profiles = [film.mean(axis=0).mean(axis=1) for film in lit]
    spreads = [np.average((np.arange(80) - 40.0) ** 2, weights=profile) for profile in profiles]
    assert spreads[0] != pytest.approx(spreads[1], rel=0.03)


def test_a_causal_break_joins_two_sound_welds_of_different_heat() -> None:
    welds = [weld for weld in list_welds(SMALL) if weld.code in CAUSAL_BREAK_CODES]
    states = [weld_state(weld, seed=0) for weld in welds]
    broken = [state for state in states if state.causal_break]
    assert 0.15 < len(broken) / len(states) < 0.6 and CAUSAL_BREAK_SHARE == 0.35
    for state in broken:
        for side in (state.process, state.result):
            flaws = vars(side.flaws) | {"spatter": 0.0}
            assert max(flaws.values()) == 0.0
        assert abs(state.process.heat - state.result.heat) > 0.25
    normal = [weld_state(weld, seed=0).process.heat for weld in list_welds(SMALL) if weld.code == "00"]
    assert all(min(normal) - 0.15 < state.result.heat < max(normal) + 0.15 for state in broken)


def test_other_classes_keep_the_link_whole() -> None:
    for weld in list_welds(SMALL):
        state = weld_state(weld, seed=0)
        if weld.code not in CAUSAL_BREAK_CODES:
            assert state.process is state.result and not state.causal_break
        assert (state.severity == 0) == (weld.code == "00")


def test_latent_names_cover_every_class() -> None:
    assert len(CLASS_NAMES) == 12
    for code in DEFECT_CODES:
        flaws = vars(weld_state(unbroken(code), seed=0, severity=1.0).process.flaws)
        assert max(flaws.values()) == pytest.approx(0.8 if code == "04" else 1.0, abs=0.1)
