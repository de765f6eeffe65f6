"""Causal-FiLM: the process, modulated by the sensors, predicts the encoding of the result.

On normal samples the process (video, audio) causes the result (photographs of what was made), and a decoder learns how.
On an anomalous one the prediction misses, and by how much is the anomaly score.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .process import AntiGenDecoder, Modulation, ProcessEncoder, Projector, SensorEncoding, SensorModulator, modulate
from .result import Pooling, ResultEncoder, TargetEncoder, Views

Film = Literal["shared", "split", "off"]

_STARTING_STD = 0.02
_RESULT_SCALE = 64.0  # an optimizer whose steps are as large as the learning rate moves Z_absent so much faster


@dataclass(frozen=True, eq=False, kw_only=True)
class FilmInputs:
    """What the network takes, row axis first; tokens may be in half precision.

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


class AbsentTokens(nn.Module):
    """A learned vector each that stands for video, audio and result in rows that lack them.

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
    """Width of the sensor encoder."""
    sensor_encoding: SensorEncoding = "mamba"
    """What reads the sensors over time."""
    film: Film = "shared"
    """One modulation for video and audio, one for each, or none; without, there is no sensor encoder."""
    poolings: tuple[Pooling, ...] = ("gem", "gem")
    """How each image block's patches are pooled, one entry a block."""
    block_width: int | None = None
    """Width that each pooled block is reduced to before they are joined; None: as it is."""
    gate: bool = True
    """Whether the joined blocks are gated by themselves."""
    views: Views = "max"
    """How the encodings of the photographs become one."""
    num_layers: int = 2
    """Layers of the process encoder."""
    num_heads: int = 4
    """Attention heads of the process encoder."""
    process_dropout: float = 0.1
    """Dropout of the process encoder."""
    decoder_dropout: float = 0.2
    """Dropout of the decoder."""
    decoder_bottleneck: int | None = None
    """Width inside the decoder; None: `width`."""
    text_width: int | None = None
    """Width of the text vector where Z_pred passes a linear head before it meets it; None: they meet as they are."""
    absent_tokens: bool = False
    """Whether rows may lack modalities."""
    moving_target: bool = False
    """Whether there is a moving average of the result encoder beside it."""


class CausalFilmOutput(NamedTuple):
    """The encodings, (batch, width) each; `z_target` where there is a moving target."""

    z_result: Tensor
    z_pred: Tensor
    z_target: Tensor | None


class CausalFilm(nn.Module):
    """Projectors, sensor modulator, process encoder, result encoder and decoder in one.

    `text_head` takes Z_pred to the space of the text vector; without `text_width` it is the identity. What is asked for
    beside the published model comes last, so that it leaves the starting weights of everything else as they are.
    """

    def __init__(self, dims: CausalFilmDims) -> None:
        super().__init__()
        self.video_projector = Projector(dims.video_width, hidden_width=dims.hidden_width, width=dims.width)
        self.audio_projector = Projector(dims.audio_width, hidden_width=dims.hidden_width, width=dims.width)
        self.sensor_modulator = None
        if dims.film != "off":
            self.sensor_modulator = SensorModulator(
                dims.sensor_channels,
                hidden_width=dims.sensor_hidden,
                width=dims.width,
                encoding=dims.sensor_encoding,
                num_modulations=2 if dims.film == "split" else 1,
            )
        self.process_encoder = ProcessEncoder(
            dims.width, num_layers=dims.num_layers, num_heads=dims.num_heads, dropout=dims.process_dropout
        )
        self.result_encoder = ResultEncoder(
            dims.image_width,
            poolings=dims.poolings,
            hidden_width=dims.hidden_width,
            width=dims.width,
            block_width=dims.block_width,
            gate=dims.gate,
            views=dims.views,
        )
        self.decoder = AntiGenDecoder(dims.width, bottleneck=dims.decoder_bottleneck, dropout=dims.decoder_dropout)
        self.text_head = nn.Identity() if dims.text_width is None else nn.Linear(dims.width, dims.text_width)
        self.absent = AbsentTokens(dims.width) if dims.absent_tokens else None
        self.target_encoder = TargetEncoder(self.result_encoder) if dims.moving_target else None

    def forward(self, inputs: FilmInputs) -> CausalFilmOutput:
        """Encode and predict a batch."""
        z_process = self.encode_process(inputs)
        return CausalFilmOutput(
            z_result=self._encode_result(inputs, encoder=self.result_encoder),
            z_pred=self.decoder(z_process),
            z_target=None if self.target_encoder is None else self._encode_result(inputs, encoder=self.target_encoder),
        )

    def move_target(self, *, decay: float) -> None:
        """Let the target encoder follow the result encoder by a step."""
        assert self.target_encoder is not None, "built without a moving target"
        self.target_encoder.follow(self.result_encoder, decay=decay)

    def encode_process(self, inputs: FilmInputs) -> Float[Tensor, "batch width"]:
        """The encoding of video, audio and sensors, from which the result is predicted."""
        video, audio = self.video_projector(inputs.video), self.audio_projector(inputs.audio)
        padding, modulations = inputs.audio_padding, self._modulations(inputs)
        if inputs.present:
            assert self.absent is not None, "built without absent tokens"
            video = self.absent.fill_video(video, present=inputs.present["video"])
            audio, padding = self.absent.fill_audio(audio, padding=padding, present=inputs.present["audio"])
        if modulations:
            video, audio = modulate(video, modulations[0]), modulate(audio, modulations[-1])
        z_process: Tensor = self.process_encoder(video, audio=audio, audio_padding=padding)
        return z_process

    def _modulations(self, inputs: FilmInputs) -> tuple[Modulation, ...]:
        """One for video and audio, one for each, or none."""
        if self.sensor_modulator is None:
            return ()
        assert inputs.sensor is not None, "a model with FiLM takes sensors"
        modulations: tuple[Modulation, ...] = self.sensor_modulator(inputs.sensor)
        if not inputs.present:
            return modulations
        return tuple(modulation.only_where(inputs.present["sensor"]) for modulation in modulations)

    def _encode_result(
        self, inputs: FilmInputs, *, encoder: ResultEncoder | TargetEncoder
    ) -> Float[Tensor, "batch width"]:
        if not inputs.present:
            encoded: Tensor = encoder(inputs.patches, view_mask=inputs.view_mask)
            return encoded
        assert self.absent is not None, "built without absent tokens"
        present = inputs.present["image"]
        # Rows without photographs are encoded as if they had them: over no views there is neither maximum nor mean.
        encoded = encoder(inputs.patches, view_mask=inputs.view_mask | ~present[:, None])
        return self.absent.fill_result(encoded, present=present)
