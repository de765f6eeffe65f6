"""Causal-FiLM: the process, modulated by the sensors, predicts the encoding of the result.

On good welds the process (video, audio) causes the result (photographs of the seam), and a decoder learns how. On a
bad weld the prediction misses, and by how much is the anomaly score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from .anti_gen_decoder import AntiGenDecoder
from .film import modulate
from .process_encoder import ProcessEncoder
from .projector import Projector
from .result_encoder import Pooling, ResultEncoder
from .sensor_modulator import SensorModulator


@dataclass(frozen=True, kw_only=True)
class CausalFilmDims:
    """Widths and kinds of a Causal-FiLM; the defaults are the published model's."""

    video_width: int = 1024
    """Width of the video tokens."""
    audio_width: int = 768
    """Width of the audio tokens."""
    image_width: int = 1280
    """Width of the patch tokens."""
    sensor_channels: int = 6
    """Number of sensor channels."""
    width: int = 512
    """Width of the model, of Z_process, Z_result and Z_pred; divisible by `num_heads`."""
    hidden_width: int = 512
    """Width between the two linear layers of the projectors and of the result encoder's head."""
    sensor_hidden: int = 128
    """Width of the sensor modulator's Mamba layers."""
    poolings: tuple[Pooling, ...] = ("gem", "gem")
    """How each image block's patches are pooled, one entry a block."""
    num_layers: int = 2
    """Layers of the process encoder."""
    num_heads: int = 4
    """Attention heads of the process encoder."""
    process_dropout: float = 0.1
    """Dropout of the process encoder."""
    decoder_dropout: float = 0.2
    """Dropout of the decoder."""
    text_width: int | None = None
    """Width of the text vector where Z_pred passes a linear head before it meets it; None: they meet as they are."""


class CausalFilmOutput(NamedTuple):
    """The three encodings, (batch, width) each."""

    z_process: Tensor
    z_result: Tensor
    z_pred: Tensor


class CausalFilm(nn.Module):
    """Projectors, sensor modulator, process encoder, result encoder and decoder in one.

    `text_head` takes Z_pred to the space of the text vector; without `text_width` it is the identity.
    """

    def __init__(self, dims: CausalFilmDims) -> None:
        super().__init__()
        self.video_projector = Projector(dims.video_width, hidden_width=dims.hidden_width, width=dims.width)
        self.audio_projector = Projector(dims.audio_width, hidden_width=dims.hidden_width, width=dims.width)
        self.sensor_modulator = SensorModulator(dims.sensor_channels, hidden_width=dims.sensor_hidden, width=dims.width)
        self.process_encoder = ProcessEncoder(
            dims.width, num_layers=dims.num_layers, num_heads=dims.num_heads, dropout=dims.process_dropout
        )
        self.result_encoder = ResultEncoder(
            dims.image_width, poolings=dims.poolings, hidden_width=dims.hidden_width, width=dims.width
        )
        self.decoder = AntiGenDecoder(dims.width, dropout=dims.decoder_dropout)
        self.text_head = nn.Identity() if dims.text_width is None else nn.Linear(dims.width, dims.text_width)

    def forward(
        self,
        *,
        video: Float[Tensor, "batch video_time video_width"],
        audio: Float[Tensor, "batch audio_time audio_width"],
        audio_padding: Bool[Tensor, "batch audio_time"],
        sensor: Float[Tensor, "batch steps channels"],
        patches: Sequence[Float[Tensor, "batch views patches image_width"]],
        view_mask: Bool[Tensor, "batch views"],
    ) -> CausalFilmOutput:
        """Encode and predict a batch of welds; cached tokens may be in half precision.

        `patches` has an entry a block. `audio_padding` is true where there is no audio, `view_mask` true where there
        is a photograph; every row needs one audio token and one view at least. `sensor` is normalised already.
        """
        modulation = self.sensor_modulator(sensor)
        z_process = self.process_encoder(
            modulate(self.video_projector(video), modulation),
            audio=modulate(self.audio_projector(audio), modulation),
            audio_padding=audio_padding,
        )
        z_result = self.result_encoder(patches, view_mask=view_mask)
        return CausalFilmOutput(z_process=z_process, z_result=z_result, z_pred=self.decoder(z_process))
