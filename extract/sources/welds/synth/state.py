"""The latent state of a weld: what the arc did, and what state the finished seam is in."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from .roster import Settings, nominal_voltage

PROFILE_POINTS = 64
NOMINAL_CURRENT_A = 205.0
NOMINAL_SPEED_CPM = 46.0
_NOMINAL_THICKNESS_MM = 6.0
MAX_CURRENT_A = 330.0
OPEN_CIRCUIT_V = 81.5

Profile = Float[np.ndarray, " points"]


@dataclass(frozen=True)
class Flaws:
    """How much of each kind of flaw a seam shows, 0 (none) to 1 (as bad as it gets)."""

    penetration: float = 0.0
    holes: float = 0.0
    pores: float = 0.0
    undercut: float = 0.0
    overlap: float = 0.0
    unfused: float = 0.0
    convexity: float = 0.0
    spatter: float = 0.0
    warp: float = 0.0
    cracks: float = 0.0


@dataclass(frozen=True)
class ArcState:
    """One welding process and the seam that it leaves, averaged over the weld, with two profiles along it.

    Units: `current` A, `voltage` V, `speed` cm/min, `feed` in the machine's unit (0 to 180), `gas_flow` l/min,
    `pressure` bar. `stability` and `shielding` run from 0 to 1 (good); `contamination` and `gap` from 0 (clean,
    closed) to 1; `offset` is the arc's distance from the joint in half widths of the bead, `drift` how far the set-up
    wanders during the weld, `crater_fill` how well the end is filled (1) before the arc goes out. `profile` holds the
    deviation of the logarithmic heat along the seam, `extent` where along it the flaws act (0 to 1).
    """

    current: float
    voltage: float
    speed: float
    thickness: float
    feed: float
    gas_flow: float
    pressure: float
    stability: float
    shielding: float
    contamination: float
    gap: float
    offset: float
    drift: float
    crater_fill: float
    profile: Profile
    extent: Profile
    flaws: Flaws

    @property
    def heat(self) -> float:
        """Natural logarithm of the heat input per length, V I / speed, over its nominal value for this thickness.

        Thicker plate carries heat away faster; the square root is a compromise between Rosenthal's thin-plate
        (proportional) and thick-plate (independent) solutions.
        """
        nominal = nominal_voltage(NOMINAL_CURRENT_A) * NOMINAL_CURRENT_A / NOMINAL_SPEED_CPM
        ratio = self.voltage * self.current / self.speed / nominal
        return float(np.log(ratio * np.sqrt(_NOMINAL_THICKNESS_MM / self.thickness)))

    @property
    def deposit(self) -> float:
        """Natural logarithm of the wire laid down per length, over its nominal value."""
        return float(np.log((self.feed / nominal_feed(NOMINAL_CURRENT_A)) / (self.speed / NOMINAL_SPEED_CPM)))

    def numbers(self) -> dict[str, float]:
        """Every scalar of the state, flaws included, by name."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        scalars = {name: value for name, value in plain.items() if isinstance(value, float)}
        flaws = {f"flaw_{field.name}": getattr(self.flaws, field.name) for field in fields(self.flaws)}
        return {**scalars, "heat": self.heat, "deposit": self.deposit, **flaws}


@dataclass(frozen=True)
class WeldState:
    """The whole truth about one weld. `process` drives video, audio and sensors, `result` the photographs.

    They are the same object unless the causal link is broken. `sites` are the places (0 to 1 along the seam) of sudden
    events such as a burn-through, shared by all modalities. `severity` is 0 for normal welds.
    """

    severity: float
    causal_break: bool
    process: ArcState
    result: ArcState
    sites: Float[np.ndarray, " sites"]


def nominal_feed(current: float) -> float:
    """Wire feed (machine units) that holds a welding current (A); nearly proportional, as burn-off is."""
    return 0.47 * current


def smooth_profile(generator: np.random.Generator, *, knots: int, scale: float) -> Profile:
    """A smooth random course over the seam with standard deviation about `scale` and mean 0."""
    places = np.linspace(0, knots - 1, PROFILE_POINTS)
    values = np.interp(places, np.arange(knots), generator.standard_normal(knots))
    kernel = np.hanning(11)
    smooth = np.convolve(np.pad(values, 5, mode="edge"), kernel / kernel.sum(), mode="valid")
    return np.asarray(scale * (smooth - smooth.mean()))


def along(profile: Profile, places: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Values of a profile at `places` (0 to 1 along the seam)."""
    return np.asarray(np.interp(places, np.linspace(0.0, 1.0, PROFILE_POINTS), profile))


def normal_state(settings: Settings, *, generator: np.random.Generator) -> ArcState:
    """A sound weld made with `settings`: the process scatters a little, and the seam follows the process."""
    current = settings.current_a * float(np.exp(generator.normal(0, 0.015)))
    voltage = settings.voltage_v * float(np.exp(generator.normal(0, 0.01)))
    return ArcState(
        current=current,
        voltage=voltage,
        speed=settings.robot_speed_cpm * float(np.exp(generator.normal(0, 0.01))),
        thickness=float(settings.thickness_mm),
        feed=nominal_feed(current) * float(np.exp(generator.normal(0, 0.02))),
        gas_flow=float(generator.normal(18.0, 0.8)),
        pressure=settings.gas_bar * float(np.exp(generator.normal(0, 0.02))),
        stability=float(generator.uniform(0.88, 1.0)),
        shielding=float(generator.uniform(0.93, 1.0)),
        contamination=float(generator.uniform(0.0, 0.08)),
        gap=float(generator.uniform(0.0, 0.15)),
        offset=float(generator.normal(0, 0.03)),
        drift=float(generator.normal(0, 0.04)),
        crater_fill=float(generator.uniform(0.85, 1.0)),
        profile=smooth_profile(generator, knots=7, scale=0.16),
        extent=np.zeros(PROFILE_POINTS),
        flaws=Flaws(spatter=float(generator.uniform(0.0, 0.07))),
    )
