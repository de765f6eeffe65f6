"""Process encoder: video tokens look into audio tokens, and their mean describes how the weld was made."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from .few_queries_attention import CrossAttendingLayer


class ProcessEncoder(nn.Module):
    """Transformer decoder with video as query and audio as memory; mean over the video tokens; LayerNorm."""

    def __init__(self, width: int, *, num_layers: int = 2, num_heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        layer = CrossAttendingLayer(width, num_heads, dim_feedforward=2 * width, dropout=dropout, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, num_layers)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        video: Float[Tensor, "batch video_time width"],
        *,
        audio: Float[Tensor, "batch audio_time width"],
        audio_padding: Bool[Tensor, "batch audio_time"],
    ) -> Float[Tensor, "batch width"]:
        """Z_process; `audio_padding` is true where there is no audio, and must leave each row one token at least."""
        attended = self.decoder(video, audio, memory_key_padding_mask=audio_padding)
        encoded: Tensor = self.norm(attended.mean(dim=1))
        return encoded
