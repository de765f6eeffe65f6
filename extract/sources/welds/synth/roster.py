"""Who is made: the name, split, class, session and settings of every weld of a plan."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..classes import DEFECT_CODES, GOOD_CODE
from .plan import SPLITS, Purpose, SynthPlan, stream

WELD_TYPES = ("butt", "fillet", "lap")
STEEL_TYPES = ("FE410", "BSK46")
THICKNESSES_MM = (3, 5, 7, 10)
CURRENT_FOR_THICKNESS_A = {3: 150.0, 5: 180.0, 7: 205.0, 10: 230.0}
GAS_PRESSURES_BAR = (2.5, 3.0, 3.5)

# The three classes that `confounded` welds on thin plate only, as the real data has three classes at 3 mm alone.
_THIN_PLATE_CODES = ("01", "02", "10")
_FIRST_DAY = datetime.date(2022, 10, 4)


@dataclass(frozen=True)
class Settings:
    """What the operator sets, as the manifest's seven setting columns say it."""

    weld_type: str
    thickness_mm: int
    steel_type: str
    current_a: int
    voltage_v: float
    gas_bar: float
    robot_speed_cpm: int


@dataclass(frozen=True)
class Weld:
    """One weld to be made. `directory` is its session's folder, `session` that session's number."""

    index: int
    split: str
    code: str
    session: int
    session_welds: int
    date: datetime.date
    directory: str
    run: str
    settings: Settings

    @property
    def key(self) -> str:
        """`DIRECTORY/RUN`, which alone is unique: run names may repeat across sessions."""
        return f"{self.directory}/{self.run}"


def nominal_voltage(current_a: float) -> float:
    """Arc voltage (V) that suits a welding current (A): the straight line 14 V + 0.05 V/A of GMAW procedure tables."""
    return 14.0 + 0.05 * current_a


def list_welds(plan: SynthPlan) -> list[Weld]:
    """Every weld of `plan`, ordered by session. The same plan gives the same list."""
    generator = stream(plan.seed, purpose=Purpose.ROSTER)
    groups = _confounded_sessions(plan, generator) if plan.confounded else _mixed_sessions(plan, generator)
    welds: list[Weld] = []
    number = 0
    for session, members in enumerate(groups):
        # Two sessions share a day, as in a workshop with two shifts; the run number goes on through the day.
        number = int(generator.integers(1, 90)) if session % 2 == 0 else number
        date = _FIRST_DAY + datetime.timedelta(days=session // 2)
        directory = f"{date:%m-%d-%y}_shift_{1 + session % 2}"
        base = _session_settings(generator, confounded=plan.confounded, code=members[0][1])
        for split, code in members:
            settings = _weld_settings(generator, base=base)
            run = f"{date:%m-%d-%y}-{number:04d}-{code}"
            welds.append(Weld(len(welds), split, code, session, len(members), date, directory, run, settings))
            number += 1
    return _with_duplicate_runs(welds, wanted=plan.duplicate_runs)


def _mixed_sessions(plan: SynthPlan, generator: np.random.Generator) -> list[list[tuple[str, str]]]:
    """Sessions within one split each, every class dealt round like cards, so that no session leans to a class."""
    sessions: list[list[tuple[str, str]]] = []
    for split in SPLITS:
        codes = [code for code, number in plan.counts(split).items() for _ in range(number)]
        num_sessions = -(-len(codes) // plan.session_welds)
        hands: list[list[tuple[str, str]]] = [[] for _ in range(num_sessions)]
        for place, code in enumerate(codes):
            hands[place % num_sessions].append((split, code))
        sessions += [[hand[place] for place in generator.permutation(len(hand))] for hand in hands]
    return sessions


def _confounded_sessions(plan: SynthPlan, generator: np.random.Generator) -> list[list[tuple[str, str]]]:
    """Sessions of one class each that cross the splits, as in the real data."""
    sessions: list[list[tuple[str, str]]] = []
    for code in (GOOD_CODE, *DEFECT_CODES):
        members = [(split, code) for split in SPLITS for _ in range(plan.counts(split).get(code, 0))]
        members = [members[place] for place in generator.permutation(len(members))]
        num_sessions = -(-len(members) // plan.session_welds)
        sessions += [members[first::num_sessions] for first in range(num_sessions)]
    return [sessions[place] for place in generator.permutation(len(sessions))]


def _session_settings(generator: np.random.Generator, *, confounded: bool, code: str) -> Settings:
    """The settings around which a session's welds vary. Only `confounded` looks at the class."""
    thickness = int(generator.choice(THICKNESSES_MM))
    weld_type = str(generator.choice(WELD_TYPES))
    steel_type = str(generator.choice(STEEL_TYPES))
    gas_bar = float(generator.choice(GAS_PRESSURES_BAR))
    speed = int(generator.integers(40, 53))
    if confounded and code == GOOD_CODE:
        thickness, weld_type, gas_bar = 7, WELD_TYPES[0], GAS_PRESSURES_BAR[1]
    elif confounded and code in _THIN_PLATE_CODES:
        thickness = 3
    current = CURRENT_FOR_THICKNESS_A[thickness]
    return Settings(weld_type, thickness, steel_type, round(current), nominal_voltage(current), gas_bar, speed)


def _weld_settings(generator: np.random.Generator, *, base: Settings) -> Settings:
    """One weld's settings: current, voltage and speed stepped around the session's, as a procedure trial does."""
    current = round(base.current_a * float(generator.uniform(0.84, 1.16)) / 5) * 5
    voltage = round(nominal_voltage(float(current)) + float(generator.uniform(-0.9, 0.9)), 1)
    speed = round(base.robot_speed_cpm * float(generator.uniform(0.76, 1.26)))
    return replace(base, current_a=current, voltage_v=voltage, robot_speed_cpm=speed)


def _with_duplicate_runs(welds: Sequence[Weld], *, wanted: int) -> list[Weld]:
    """Give up to `wanted` welds the run name of a weld of the same day and class in the other shift.

    The real data has 20 such names; readers must tell the welds apart by their folder.
    """
    renamed = list(welds)
    by_session: dict[int, list[Weld]] = {}
    for weld in welds:
        by_session.setdefault(weld.session, []).append(weld)
    for session in range(0, len(by_session) - 1, 2):
        if wanted == 0:
            break
        pairs = ((a, b) for a in by_session[session] for b in by_session[session + 1] if a.code == b.code)
        pair = next(pairs, None)
        if pair is not None:
            first, second = pair
            renamed[second.index] = replace(second, run=first.run)
            wanted -= 1
    return renamed
