"""EfficientNet-Lite, a small convolutional network: a map of tokens after each of its seven stages.

Tan and Le, "EfficientNet" (ICML 2019), in the form without squeeze-and-excitation and with ReLU6 that Google published
for small devices in 2020. Parameters have the names of timm's `tf_efficientnet_lite0`, so that its file loads.
Block k means stage k, counted from 1: a network has few stages, and within one all blocks see the same grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import torch
from einops import rearrange
from huggingface_hub.dataclasses import strict
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel

from ...documents import Json
from ..decode.decoded import Photographs
from .checkpoint import Checkpoint
from .convolution import FrozenNorm, SameConvolution
from .preprocessing import IMAGE_FILES, PUBLISHED_IMAGE_SIZE, PhotographPreparation, read_pixel_preprocessing
from .pretrained import LazyModel, Models, load_config, whole
from .spec import BackboneSpec, Preparation, checked_blocks, chosen_among, count_flops

# Kernel, stride and expansion of the stages; a stage strides in its first block.
_STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))

_OUTPUT: dict[str, Json] = {
    "hidden_state": "output of the stage's last block; block k is stage k",
    "patch_tokens": "positions by rows",
    "mean": "mean over positions, in float32",
    "std": "standard deviation over positions, in float32",
}


@strict
class EfficientNetLiteConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The widths and depths of the network, of Lite0 by default; `num_hidden_layers` stages are made."""

    model_type = "efficientnet_lite"

    stem_channels: int = 32
    stage_channels: list[int] | tuple[int, ...] = (16, 24, 40, 80, 112, 192, 320)
    stage_repeats: list[int] | tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    head_channels: int = 1280
    num_classes: int = 1000
    num_hidden_layers: int = 7

    def validate_stages(self) -> None:
        """Called by `strict`; raises ValueError unless each stage has a width and a depth."""
        given = (self.stage_channels, self.stage_repeats)
        if any(len(each) != len(_STAGES) or min(each) < 1 for each in given):
            raise ValueError(f"stage_channels and stage_repeats are {len(_STAGES)} positive numbers each")
        if not 1 <= self.num_hidden_layers <= len(_STAGES):
            raise ValueError(f"num_hidden_layers is from 1 to {len(_STAGES)}")


class SeparableBlock(nn.Module):
    """Depthwise, then pointwise: the block of the first stage, which does not expand."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConvolution(inputs, inputs, kernel=kernel, stride=stride, groups=inputs)
        self.bn1 = FrozenNorm(inputs)
        self.conv_pw = SameConvolution(inputs, outputs, kernel=1)
        self.bn2 = FrozenNorm(outputs)
        self._adds_input = stride == 1 and inputs == outputs

    def forward(self, maps: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        made: Tensor = self.bn2(self.conv_pw(functional.relu6(self.bn1(self.conv_dw(maps)))))
        return maps + made if self._adds_input else made


class InvertedBlock(nn.Module):
    """Pointwise to `expansion` times the channels, depthwise, then pointwise without an activation."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.conv_pw = SameConvolution(inputs, inner, kernel=1)
        self.bn1 = FrozenNorm(inner)
        self.conv_dw = SameConvolution(inner, inner, kernel=kernel, stride=stride, groups=inner)
        self.bn2 = FrozenNorm(inner)
        self.conv_pwl = SameConvolution(inner, outputs, kernel=1)
        self.bn3 = FrozenNorm(outputs)
        self._adds_input = stride == 1 and inputs == outputs

    def forward(self, maps: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        expanded = functional.relu6(self.bn1(self.conv_pw(maps)))
        made: Tensor = self.bn3(self.conv_pwl(functional.relu6(self.bn2(self.conv_dw(expanded)))))
        return maps + made if self._adds_input else made


class EfficientNetLite(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The network: a stem, stages of blocks, and the head that tells ImageNet's classes."""

    config_class = EfficientNetLiteConfig
    config: EfficientNetLiteConfig
    main_input_name = "pixel_values"
    _supports_sdpa = True  # it has no attention, so that any kind is right

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.conv_stem = SameConvolution(3, config.stem_channels, kernel=3, stride=2)
        self.bn1 = FrozenNorm(config.stem_channels)
        inputs = [config.stem_channels, *config.stage_channels]
        self.blocks = nn.ModuleList(
            _stage(stage, inputs=inputs[stage], outputs=inputs[stage + 1], repeats=config.stage_repeats[stage])
            for stage in range(config.num_hidden_layers)
        )
        self.conv_head = SameConvolution(config.stage_channels[-1], config.head_channels, kernel=1)
        self.bn2 = FrozenNorm(config.head_channels)
        self.classifier = nn.Linear(config.head_channels, config.num_classes)
        self.post_init()  # type: ignore[no-untyped-call]

    def stage_outputs(self, pixels: Float[Tensor, "pictures 3 height width"]) -> Iterator[Tensor]:
        """Maps after each stage in turn, (pictures, channels, rows, columns); a stage runs when it is asked for."""
        maps = functional.relu6(self.bn1(self.conv_stem(pixels)))
        for stage in self.blocks:
            maps = stage(maps)
            yield maps

    def forward(self, pixel_values: Float[Tensor, "pictures 3 height width"]) -> Float[Tensor, "pictures classes"]:
        """Logits of the classes, for which all stages are needed."""
        *_, maps = self.stage_outputs(pixel_values)
        pooled = functional.relu6(self.bn2(self.conv_head(maps))).mean(dim=(2, 3))
        logits: Tensor = self.classifier(pooled)
        return logits


def _stage(stage: int, *, inputs: int, outputs: int, repeats: int) -> nn.Sequential:
    kernel, stride, expansion = _STAGES[stage]
    blocks: list[nn.Module] = []
    for index in range(repeats):
        first = index == 0
        shape = {"kernel": kernel, "stride": stride if first else 1}
        width = inputs if first else outputs
        if expansion == 1:
            blocks.append(SeparableBlock(width, outputs, **shape))
        else:
            blocks.append(InvertedBlock(width, outputs, **shape, expansion=expansion))
    return nn.Sequential(*blocks)


class StagesOfEfficientNet:
    """A frozen EfficientNet-Lite: a grid of tokens for each picture and each of the stages in `blocks`."""

    def __init__(
        self,
        model: LazyModel[EfficientNetLite],
        *,
        config: EfficientNetLiteConfig,
        blocks: tuple[int, ...],
        preparation: PhotographPreparation,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.preparation: Preparation[Photographs] = preparation
        self.blocks = blocks
        self._channels = config.stage_channels
        self._model = model
        self._pixels = preparation.pixels

    def shapes(self, block: int) -> Mapping[str, tuple[int, ...]]:
        """Shapes of a stage's arrays, without the axis of pictures."""
        side = -(-self._pixels.size // 2)  # the stem strides, too
        for _, stride, _ in _STAGES[:block]:
            side = -(-side // stride)
        channels = self._channels[block - 1]
        return {"patch_tokens": (side * side, channels), "mean": (channels,), "std": (channels,)}

    def load(self) -> None:
        self._model.get()

    def __call__(
        self, batch: UInt8[Tensor, "pictures 3 size size"], *, blocks: Sequence[int] | None = None
    ) -> dict[int, dict[str, Tensor]]:
        """`patch_tokens` in the backbone's arithmetic; `mean` and `std` over them in float32."""
        pixels = self._model.placement.move(batch)
        return self._encode(self._model.get(), pixels, blocks=chosen_among(self.blocks, blocks))

    def flops(self, *, blocks: Sequence[int] | None = None) -> int:
        side = self._pixels.size
        picture = torch.empty((1, 3, side, side), dtype=torch.uint8, device="meta")
        return count_flops(self._encode, self._model.outline(), picture, blocks=chosen_among(self.blocks, blocks))

    @torch.inference_mode()
    def _encode(
        self, model: EfficientNetLite, pixels: UInt8[Tensor, "pictures 3 size size"], *, blocks: Sequence[int]
    ) -> dict[int, dict[str, Tensor]]:
        # Channels last: a quarter less time on a CPU, and no copy when tokens are made of maps.
        pictures = self._pixels.normalise(pixels).to(self._model.placement.dtype, memory_format=torch.channels_last)
        outputs = enumerate(islice(model.stage_outputs(pictures), max(blocks)), start=1)
        return {block: _features(maps) for block, maps in outputs if block in blocks}


def _features(maps: Float[Tensor, "pictures channels rows columns"]) -> dict[str, Tensor]:
    tokens = rearrange(maps, "pictures channels rows columns -> pictures (rows columns) channels").contiguous()
    values = tokens.float()
    return {"patch_tokens": tokens, "mean": values.mean(dim=1), "std": values.std(dim=1, correction=0)}


def load_efficientnet_lite(
    checkpoint: Checkpoint, *, key: str, blocks: tuple[int | str, ...] | None, size: int | None, models: Models
) -> StagesOfEfficientNet:
    """The network in `checkpoint` up to the deepest of the stages `blocks` (None: its last), for pictures of `size`
    pixels (None: its own).

    Raises BackboneError where it has no such stage; `key` is for messages.
    """
    config = load_config(EfficientNetLiteConfig, checkpoint=checkpoint)
    chosen = checked_blocks(blocks, num_blocks=config.num_hidden_layers, model=checkpoint.model, key=key)
    config.num_hidden_layers = max(chosen)  # deeper ones are not even loaded
    pixels = read_pixel_preprocessing(
        checkpoint.folder, files=IMAGE_FILES, size=size, default_size=PUBLISHED_IMAGE_SIZE
    )
    model = models.of(EfficientNetLite, part=whole, checkpoint=checkpoint, config=config)
    spec = model.describe(preprocessing=pixels.to_manifest(), output=_OUTPUT)
    return StagesOfEfficientNet(
        model, config=config, blocks=chosen, preparation=PhotographPreparation(pixels), spec=spec
    )
