"""Sensor modulator: the machine's sensors over time become FiLM modulations."""

from jaxtyping import Float
from torch import Tensor, nn

from .film import Modulation
from .sensor_encoder import SENSOR_ENCODERS, SensorEncoding


class SensorModulator(nn.Module):
    """Sensors (batch, time, channels) to modulations of `width` features; the identity at the start.

    The head starts at zero, so the very first backward pass gives only the head a gradient; from the second step on
    every parameter has one.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        hidden_width: int,
        width: int,
        encoding: SensorEncoding = "mamba",
        num_modulations: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = SENSOR_ENCODERS[encoding](num_channels, hidden_width=hidden_width)
        self.head = nn.Linear(hidden_width, num_modulations * 2 * width)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self._num_modulations = num_modulations

    def forward(self, sensors: Float[Tensor, "batch time channels"]) -> tuple[Modulation, ...]:
        """As many modulations as were asked for, each from rows of the head that are its own."""
        parts = self.head(self.encoder(sensors)).unsqueeze(1).chunk(2 * self._num_modulations, dim=-1)
        return tuple(Modulation(gamma=gamma, beta=beta) for gamma, beta in zip(parts[::2], parts[1::2], strict=True))
