"""An autoencoder for vectors: what it has not learned to rebuild is unusual."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from .standardise import Standardise


@dataclass(frozen=True)
class AutoencoderOutput:
    """The vectors as the autoencoder sees them, what it makes of them on the way, and at the end."""

    target: Float[Tensor, "batch width"]
    code: Float[Tensor, "batch bottleneck"]
    rebuilt: Float[Tensor, "batch width"]


class Autoencoder(nn.Module):
    """Linear layers width - hidden - bottleneck - hidden - width with ReLU between them, on standardised vectors."""

    def __init__(self, width: int, *, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.standardise = Standardise(width)  # the identity until it is given statistics
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, bottleneck), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(bottleneck, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, vectors: Float[Tensor, "batch width"]) -> AutoencoderOutput:
        """Encode and rebuild."""
        target = self.standardise(vectors)
        code = self.encoder(target)
        return AutoencoderOutput(target=target, code=code, rebuilt=self.decoder(code))


def reconstruction_error(
    rebuilt: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"]
) -> Float[Tensor, " batch"]:
    """Mean squared error of each row."""
    return (rebuilt - target).square().mean(dim=1)
