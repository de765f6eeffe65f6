"""A strip of plate as a relief (height, colour, gloss), and the coordinates of the seam on it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32

from .texture import Plane

Row = Float32[np.ndarray, " width"]


@dataclass(frozen=True)
class Relief:
    """A strip of plate. Lengths are in pixels of the strip; the arrays are changed in place while it is drawn.

    `height` is elevation, `colour` reflectance (blue, green, red; 0 to 1), `gloss` the strength of highlights,
    `bead` how much a pixel belongs to the seam, `flawed` where a person would outline the flaw.
    """

    height: Plane
    colour: Float32[np.ndarray, "3 height width"]
    gloss: Plane
    bead: Plane
    flawed: Bool[np.ndarray, "height width"]

    def darken(self, strength: Plane) -> None:
        """Take light from the colour where `strength` is above 0 (1 is black)."""
        self.colour[...] *= 1 - np.clip(strength, 0, 1)

    def stain(self, strength: Plane, *, absorbs: tuple[float, float, float]) -> None:
        """Take from blue, green and red the parts `absorbs` where `strength` is 1."""
        for channel, share in zip(self.colour, absorbs, strict=True):
            channel *= 1 - np.float32(share) * strength

    def cover(self, tone: Plane, *, weight: Plane, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        """Put a layer of grey `tone`, coloured by `tint`, over the colour where `weight` is 1."""
        for channel, share in zip(self.colour, tint, strict=True):
            channel += (np.float32(share) * tone - channel) * weight


@dataclass(frozen=True)
class SeamGrid:
    """Coordinates of the seam on a strip whose columns `start` to `end` it covers.

    Per column: `place` along the seam (0 to 1 between its ends), `centre` row of its centre line, `half_width` of the
    bead, `extent` of the flaws' action. Per pixel: `across`, the distance from the centre line, negative above it.
    `unit` is the picture height to which all sizes are relative.
    """

    place: Row
    centre: Row
    half_width: Row
    extent: Row
    across: Plane
    relative: Plane
    unit: float
    start: int
    end: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the strip."""
        return self.across.shape[0], self.across.shape[1]

    @cached_property
    def ends_mask(self) -> Plane:
        """1 between the seam's ends, 0 beyond, with round caps."""
        columns = np.arange(self.shape[1], dtype=np.float32)[None, :]
        cap = self.half_width[None, :] * np.sqrt(np.clip(1 - self.relative**2, 0, 1)) * np.float32(0.8)
        beyond = np.maximum(self.start - columns, columns - self.end)
        return np.asarray(np.clip((cap - beyond) / np.float32(2) + np.float32(0.5), 0, 1), np.float32)
