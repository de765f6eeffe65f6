"""Absent tokens: what stands for a modality that a weld does not have."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_STARTING_STD = 0.02
_RESULT_SCALE = 64.0  # an optimizer whose steps are as large as the learning rate moves Z_absent so much faster


class AbsentTokens(nn.Module):
    """A learned vector each for video, audio and result, for rows that lack it.

    Absent sensors need none: without them nothing is modulated.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.video = nn.Parameter(_STARTING_STD * torch.randn(width))
        self.audio = nn.Parameter(_STARTING_STD * torch.randn(width))
        self.result = nn.Parameter(_STARTING_STD / _RESULT_SCALE * torch.randn(width))

    def z_result(self) -> Float[Tensor, " width"]:
        """The encoding of a result that nobody has seen.

        From near zero it has to arrive at the predictions within 1,800 steps of 2e-5 at most: hence the scale.
        """
        return _RESULT_SCALE * self.result

    def fill_video(
        self, tokens: Float[Tensor, "batch time width"], *, present: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "batch time width"]:
        """The token in place of every video token of rows that have none."""
        return torch.where(present[:, None, None], tokens, self.video)

    def fill_audio(
        self,
        tokens: Float[Tensor, "batch time width"],
        *,
        padding: Bool[Tensor, "batch time"],
        present: Bool[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch time width"], Bool[Tensor, "batch time"]]:
        """Tokens and padding; rows without audio have the token at the first position and padding behind it."""
        behind_the_first = torch.arange(tokens.shape[1], device=tokens.device) > 0
        filled = torch.where(present[:, None, None], tokens, self.audio)
        return filled, torch.where(present[:, None], padding, behind_the_first)

    def fill_result(
        self, encoded: Float[Tensor, "batch width"], *, present: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "batch width"]:
        """The encoding, and for rows without photographs the token, which takes no gradient from here."""
        return torch.where(present[:, None], encoded, self.z_result().detach())
