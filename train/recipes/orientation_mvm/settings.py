"""What can be set of the recipe; shown and checked without torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ....configs.section import StoreName, Width
from ...settings import RecipeSettings


class OrientationMvmSettings(RecipeSettings):
    """A mixture of von Mises peaks from a point cloud; for train.task=orientation."""

    name: Literal["orientation_mvm"] = Field("orientation_mvm", description="What is learned, and how it predicts.")
    feature: StoreName = Field("cloud", description="Feature of the kind cloud that it looks at, with two levels.")
    width: Width = Field(64, description="Width of the first layers, after which all others go; 64 is the original's.")
    peaks: Literal["free", "by_symmetry"] = Field(
        "free",
        description="free: num_peaks peaks, each with an angle, a kappa and a weight of its own; by_symmetry: how "
        "likely none, one, two opposite and four crossed peaks are, with an angle and a kappa for each.",
    )
    symmetries: tuple[Literal[0, 1, 2, 4], ...] = Field(
        (0, 1, 2, 4),
        min_length=1,
        description="Numbers of peaks that it chooses from (peaks = by_symmetry only); where that of all classes is "
        "known, that one alone.",
    )
    num_peaks: Annotated[int, Field(ge=1, le=32)] = Field(4, description="Peaks of a mixture (peaks = free only).")
    min_kappa: float = Field(
        0.0,
        ge=0,
        le=500,
        description="Least concentration of a peak (peaks = by_symmetry only). As long as its angle is not known, a "
        "peak is best flat, and a flat one's angle has no gradient.",
    )
    max_kappa: float = Field(80.0, gt=0, le=500, description="Largest concentration of a peak.")
    loss: Literal["mixture_kl", "symmetry_kl", "matched_kl", "original"] = Field(
        "mixture_kl",
        description="mixture_kl: KL(truth || prediction) of the densities; symmetry_kl: the same of the peaks alone "
        "that have the true symmetry, and the share they lack (peaks = by_symmetry only); matched_kl: of matched "
        "peaks, by their true weights; original: of matched peaks, by their predicted weights, which costs nothing "
        "where one peak has all.",
    )
    init: Literal["preset", "random", "zeros"] = Field(
        "preset",
        description="Where angles begin. preset: evenly around the circle; random: as layers are drawn; zeros: at a "
        "vector of length 0, which has no angle and no gradient, so that no angle ever moves.",
    )
    turn: bool = Field(
        True, description="Whether training turns each cloud about the vertical by an angle that is drawn anew."
    )
    vertical: Literal["x", "y", "z"] = Field("z", description="Axis that clouds are turned about; z of shapes.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_kappa > self.max_kappa:
            raise ValueError(f"min_kappa={self.min_kappa} is above max_kappa={self.max_kappa}")
        if self.loss == "symmetry_kl" and self.peaks != "by_symmetry":
            raise ValueError("loss=symmetry_kl is of peaks=by_symmetry; free peaks are learned by mixture_kl")
        return self
