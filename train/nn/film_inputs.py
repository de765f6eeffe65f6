"""What a Causal-FiLM takes: the features of a batch of welds, and which of them are really there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class FilmInputs:
    """Features of a batch, row axis first; tokens may be in half precision.

    Attributes:
        video: video tokens.
        audio: audio tokens.
        audio_padding: true where there is no audio; every row that has audio has one token at least.
        patches: patch tokens of the photographs, an entry a block.
        view_mask: true where there is a photograph; every row that has photographs has one at least.
        sensor: normalised already; None where the model takes none.
        present: for each modality (`video`, `audio`, `image`, and `sensor` where the model takes it) which rows have
            it. What stands in the place of an absent one is ignored, but has to be finite. Empty: all rows have all.
    """

    video: Float[Tensor, "batch video_time video_width"]
    audio: Float[Tensor, "batch audio_time audio_width"]
    audio_padding: Bool[Tensor, "batch audio_time"]
    patches: tuple[Float[Tensor, "batch views patches image_width"], ...]
    view_mask: Bool[Tensor, "batch views"]
    sensor: Float[Tensor, "batch steps channels"] | None = None
    present: Mapping[str, Bool[Tensor, " batch"]] = field(default_factory=dict)
