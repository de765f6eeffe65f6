"""Sensors: resampled, in physical units, through no backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...cache.arrays import ArraySpec, ModalitySpec
from ...configs.schema import SensorSettings
from ..decode.sensor import CHANNELS, decode_sensors
from ..sample import Sample
from .made_by import made_by
from .modality import Features, Prepared


@dataclass(frozen=True)
class SensorReader:
    """The series itself: {"values": (steps, channels), "times": (steps,), "arc_on": (2,)}."""

    settings: SensorSettings

    def __call__(self, sample: Sample) -> Prepared:
        """Decode one sample."""
        series = decode_sensors(sample.files["sensor"][0], num_steps=self.settings.num_steps)
        return Prepared({name: torch.from_numpy(getattr(series, name)) for name in ("values", "times", "arc_on")})


class SensorEncoder:
    """Stores what was read: normalisation belongs to stage two, which knows what is normal."""

    def __init__(self, settings: SensorSettings) -> None:
        self.reader = SensorReader(settings)
        steps = settings.num_steps
        arrays = [
            ArraySpec(
                "values",
                (steps, len(CHANNELS)),
                ("step", "channel"),
                "float32",
                attributes={"channels": list(CHANNELS)},
            ),
            ArraySpec("times", (steps,), ("step",), "float64", attributes={"unit": "s"}),
            ArraySpec("arc_on", (2,), ("bound",), "float64", allows_nan=True, attributes={"unit": "s"}),
        ]
        decoding = {"num_steps": steps, "resampling": "linear", "channels": list(CHANNELS)}
        self.spec = ModalitySpec("sensor", arrays, made_by(None, decoding=decoding))

    def encode(self, prepared: Sequence[Prepared]) -> Sequence[Features]:
        """As prepared."""
        return [{name: tensor.numpy() for name, tensor in item.tensors.items()} for item in prepared]
