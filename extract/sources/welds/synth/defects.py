"""How each of the twelve classes acts on the latent state of a weld, and how much, given a severity."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from ..classes import GOOD_CODE
from .plan import SEVERITIES, Purpose, stream
from .roster import Weld
from .state import MAX_CURRENT_A, PROFILE_POINTS, ArcState, Profile, WeldState, normal_state

# Classes of which a share breaks only the link between process and result: each side alone is a normal weld.
CAUSAL_BREAK_CODES = ("01", "06", "07")
CAUSAL_BREAK_SHARE = 0.35
_MIN_HEAT_JUMP = 0.45


def weld_state(
    weld: Weld, *, seed: int, severities: tuple[float, float] = SEVERITIES, severity: float | None = None
) -> WeldState:
    """The latent truth of `weld`; a defect's severity is drawn between the two of `severities`. `severity` replaces the
    drawn one: 0 gives the weld's sound twin."""
    sound = normal_state(weld.settings, generator=stream(seed, purpose=Purpose.NORMAL_STATE, index=weld.index))
    generator = stream(seed, purpose=Purpose.DEFECT_STATE, index=weld.index)
    drawn = float(generator.uniform(*severities))
    wants_break = bool(generator.random() < CAUSAL_BREAK_SHARE)
    sites = np.sort(generator.uniform(0.1, 0.9, size=1 + int(4 * drawn)))
    severity = drawn if severity is None else severity
    if weld.code == GOOD_CODE or severity == 0.0:
        return WeldState(0.0, False, sound, sound, np.empty(0))
    if weld.code in CAUSAL_BREAK_CODES and wants_break:
        return WeldState(severity, True, sound, _other_result(weld, sound, seed=seed), np.empty(0))
    extent = _extent(severity, generator)
    flawed = replace(_EFFECTS[weld.code](sound, severity, generator), extent=extent)
    return WeldState(severity, False, flawed, flawed, sites if flawed.flaws.holes else np.empty(0))


def _other_result(weld: Weld, sound: ArcState, *, seed: int) -> ArcState:
    """The seam of another sound weld whose heat input is far from this one's."""
    generator = stream(seed, purpose=Purpose.OTHER_NORMAL_STATE, index=weld.index)
    colder = sound.heat > 0
    best = sound
    for _ in range(40):
        settings = replace(
            weld.settings,
            current_a=round(weld.settings.current_a * float(generator.uniform(0.8, 1.2))),
            robot_speed_cpm=round(46 * float(generator.uniform(0.75, 1.3))),
        )
        candidate = normal_state(settings, generator=generator)
        if (candidate.heat < best.heat) == colder:
            best = candidate
        if abs(best.heat - sound.heat) > _MIN_HEAT_JUMP:
            break
    return best


def _extent(severity: float, generator: np.random.Generator) -> Profile:
    """Where along the seam a flaw acts: one stretch, longer with severity, with soft ends and an uneven top."""
    length = 0.45 + 0.5 * severity
    start = float(generator.uniform(0.0, 1.0 - length))
    places = np.linspace(0.0, 1.0, PROFILE_POINTS)
    edges = np.clip((places - start) / 0.06, 0, 1) * np.clip((start + length - places) / 0.06, 0, 1)
    swing = 0.15 * np.sin(2 * np.pi * (places * float(generator.uniform(1.5, 4.0)) + float(generator.random())))
    return np.asarray(edges * (0.85 + swing))


def _scaled(state: ArcState, *, current: float = 1.0, voltage: float = 1.0, feed: float = 1.0) -> ArcState:
    return replace(
        state,
        current=min(state.current * current, MAX_CURRENT_A),
        voltage=state.voltage * voltage,
        feed=min(state.feed * feed, 175.0),
    )


def _excessive_penetration(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    hot = _scaled(state, current=1 + 0.22 * severity, voltage=1 + 0.05 * severity)
    return replace(hot, gap=0.2 + 0.3 * severity, flaws=replace(state.flaws, penetration=severity))


def _burnthrough(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    hot = _scaled(state, current=1 + 0.15 * severity)
    flaws = replace(state.flaws, holes=severity, penetration=0.35 * severity)
    return replace(hot, gap=0.3 + 0.6 * severity, stability=state.stability - 0.35 * severity, flaws=flaws)


def _porosity(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    return replace(
        state,
        gas_flow=state.gas_flow * (1 - 0.65 * severity),
        pressure=state.pressure * (1 - 0.3 * severity),
        shielding=state.shielding - 0.8 * severity,
        contamination=state.contamination + 0.7 * severity,
        stability=state.stability - 0.35 * severity,
        flaws=replace(state.flaws, pores=severity, spatter=state.flaws.spatter + 0.1 * severity),
    )


def _porosity_with_penetration(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    porous = _porosity(state, 0.8 * severity, generator)
    deep = _excessive_penetration(state, 0.8 * severity, generator)
    flaws = replace(porous.flaws, penetration=deep.flaws.penetration)
    return replace(porous, current=deep.current, voltage=deep.voltage, gap=deep.gap, flaws=flaws)


def _undercut(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    long_arc = _scaled(state, voltage=1 + 0.2 * severity)
    return replace(
        long_arc,
        speed=state.speed * (1 + 0.22 * severity),
        stability=state.stability - 0.3 * severity,
        flaws=replace(state.flaws, undercut=severity),
    )


def _overlap(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    fed = _scaled(state, voltage=1 - 0.12 * severity, feed=1 + 0.3 * severity)
    return replace(fed, speed=state.speed * (1 - 0.18 * severity), flaws=replace(state.flaws, overlap=severity))


def _lack_of_fusion(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    cold = _scaled(state, current=1 - 0.22 * severity, feed=1 - 0.1 * severity)
    side = float(generator.choice((-1.0, 1.0)))
    return replace(
        cold,
        offset=state.offset + side * 0.85 * severity,
        stability=state.stability - 0.25 * severity,
        flaws=replace(state.flaws, unfused=severity),
    )


def _excessive_convexity(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    stubby = _scaled(state, voltage=1 - 0.17 * severity, feed=1 + 0.24 * severity)
    return replace(stubby, flaws=replace(state.flaws, convexity=severity))


def _spatter(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    return replace(
        state,
        stability=state.stability - 0.65 * severity,
        contamination=state.contamination + 0.2 * severity,
        flaws=replace(state.flaws, spatter=state.flaws.spatter + severity),
    )


def _warping(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    side = float(generator.choice((-1.0, 1.0)))
    return replace(
        state,
        drift=state.drift + side * severity,
        gap=state.gap + 0.4 * severity,
        flaws=replace(state.flaws, warp=severity),
    )


def _crater_cracks(state: ArcState, severity: float, generator: np.random.Generator) -> ArcState:
    return replace(
        state,
        crater_fill=state.crater_fill * (1 - severity),
        contamination=state.contamination + 0.35 * severity,
        stability=state.stability - 0.3 * severity,
        flaws=replace(state.flaws, cracks=severity),
    )


_EFFECTS: Mapping[str, Callable[[ArcState, float, np.random.Generator], ArcState]] = MappingProxyType(
    {
        "01": _excessive_penetration,
        "02": _burnthrough,
        "03": _porosity,
        "04": _porosity_with_penetration,
        "05": _undercut,
        "06": _overlap,
        "07": _lack_of_fusion,
        "08": _excessive_convexity,
        "09": _spatter,
        "10": _warping,
        "11": _crater_cracks,
    }
)
