"""What is to be made: how many streets and scenarios, with which sensors, and which mistakes on purpose."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...synth import Size, check_mistakes

GENERATOR_VERSION = 2  # raise it when the same plan makes other data

COIN_FLIPS, BACKGROUND, ALL_POSITIVE, TWICE = "coin-flip-labels", "background-tells", "all-positive", "val-is-train"
MISTAKES: Mapping[str, str] = {
    COIN_FLIPS: "semantic ids of each frame are anomalous by chance, whatever is in it",
    BACKGROUND: "scenarios with an anomaly are in streets of their own",
    ALL_POSITIVE: "every frame of every scenario shows an anomaly",
    TWICE: "each scenario is there twice, under two names",
}
"""The mistakes that can be planted, by name."""

CHANCE_OF_COIN = 0.1  # as of the labels that one experiment drew where a key was missing


@dataclass(frozen=True)
class ScenePlan:
    """All that decides what is written; equal plans make equal data.

    Attributes:
        num_streets: each has its own buildings, trees, light and colours.
        scenarios_a_street: every second one has an anomaly.
        num_frames: of a scenario.
        width: of pictures, in pixels; the height is two thirds of it, as 768 x 512.
        channels: of the lidar, from below to above.
        azimuths: of the lidar, all around.
        plant: mistakes of `MISTAKES`.
    """

    size: Size
    seed: int
    num_streets: int
    scenarios_a_street: int
    num_frames: int
    width: int
    channels: int
    azimuths: int
    plant: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        return self.width * 2 // 3

    def to_json(self) -> dict[str, Any]:
        """As synth_plan.json holds it."""
        return {"field": "anovox", "generator_version": GENERATOR_VERSION, **asdict(self)}


_SIZES: Mapping[Size, Mapping[str, int]] = {
    "tiny": {
        "num_streets": 20,
        "scenarios_a_street": 2,
        "num_frames": 2,
        "width": 96,
        "channels": 12,
        "azimuths": 90,
    },
    "small": {
        "num_streets": 30,
        "scenarios_a_street": 4,
        "num_frames": 5,
        "width": 240,
        "channels": 24,
        "azimuths": 240,
    },
    "full": {
        "num_streets": 7,
        "scenarios_a_street": 3,
        "num_frames": 200,
        "width": 768,
        "channels": 64,
        "azimuths": 1440,
    },
}


def plan_for_size(size: Size, *, seed: int, plant: tuple[str, ...] = ()) -> ScenePlan:
    """The plan of a size: `full` is 21 scenarios of 200 frames with the real sensors.

    Raises:
        SettingsError: if a mistake to plant is not known.
    """
    check_mistakes(plant, known=MISTAKES)
    return ScenePlan(size, seed, **_SIZES[size], plant=plant)


@dataclass(frozen=True)
class ScenarioPlan:
    """One scenario.

    Attributes:
        index: its number, from which all that is drawn for it follows; twins under two names have one.
        name: its folder.
        has_anomaly: whether something in it does not belong.
        has_setup: whether it says where its sensors are; one of a data set does not.
    """

    index: int
    name: str
    street: int
    has_anomaly: bool
    has_setup: bool


def list_scenarios(plan: ScenePlan) -> Sequence[ScenarioPlan]:
    """The scenarios of a plan, with the mistakes that it asks for."""
    made = []
    for index in range(plan.num_streets * plan.scenarios_a_street):
        street, place = divmod(index, plan.scenarios_a_street)
        has_anomaly = (index % 2 == 1) if plan.scenarios_a_street % 2 else place % 2 == 1
        if ALL_POSITIVE in plan.plant:
            has_anomaly = True
        if BACKGROUND in plan.plant:
            has_anomaly = street % 2 == 1
        for copy in range(2 if TWICE in plan.plant else 1):
            bits = np.random.default_rng([plan.seed, 0, index, copy]).bytes(16)
            name = f"Scenario_{uuid.UUID(bytes=bits, version=4)}"
            made.append(ScenarioPlan(index, name, street, has_anomaly, has_setup=index != 0))
    return made
