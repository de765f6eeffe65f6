"""What can be set of AnoVox as a source, and what its semantic ids of anomalies are called."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from ...settings import DataSettings
from ..group_split import SplitSettings

ANOMALOUS: Mapping[int, str] = {
    29: "home",
    30: "animal",
    31: "nature",
    32: "special",
    33: "airplane",
    34: "falling",
    100: "anomaly",
}
"""What the ids of things that do not belong are called."""


class AnoVoxSettings(SplitSettings, DataSettings):
    """Driving scenes of AnoVox, of the current or a former release."""

    source: Literal["anovox"] = Field("anovox", description="What the data set is.")
    anomalous: tuple[int, ...] = Field(
        tuple(ANOMALOUS), min_length=1, description="Semantic ids of what does not belong; 14 to 18 are traffic."
    )
    visible_to: Literal["any", "camera", "lidar"] = Field(
        "any", description="By whose semantic ids a frame is anomalous: any of both, or one sensor's alone."
    )
    incomplete: Literal["refuse", "absent"] = Field(
        "refuse",
        description="What is done where files of a frame are missing or empty: refuse the copy, or list the frame "
        "without them.",
    )
