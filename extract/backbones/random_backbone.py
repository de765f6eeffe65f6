"""Whole model folders with random weights: tiny ones for the demo and tests, full-size ones for benchmarks.

They hold the files that a hub model holds and load through the same code, so the demo runs every line that a real
extraction runs. A marker file says that the weights know nothing; the store and the report repeat it.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from transformers import (
    ASTConfig,
    ASTModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedConfig,
    PreTrainedModel,
    VJEPA2Config,
    VJEPA2Model,
)

from ...atomic import new_folder, remove_folder, write_json
from ...documents import Json
from ...errors import BackboneError, OutputExistsError, WeldcacheError, reason_of
from .audio_spectrogram import published_extractor
from .checkpoint import MARKER_FILE, read_marker
from .efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from .preprocessing import EIGHT_BIT, IMAGENET_MEAN, IMAGENET_STD, PUBLISHED_IMAGE_SIZE
from .pretrained import quiet_transformers
from .spec import Family
from .yamnet import Yamnet, YamnetConfig

Scale = Literal["demo", "full"]

MODEL_CLASSES: Mapping[Family, Callable[[Any], PreTrainedModel]] = {
    "vjepa2": VJEPA2Model,
    "ast": ASTModel,
    "dinov3": DINOv3ViTModel,
    "dinov2": Dinov2Model,
    "efficientnet_lite": EfficientNetLite,
    "yamnet": Yamnet,
    "clip_text": CLIPTextModelWithProjection,
}

# Raised when the same seed would give other weights or more of them, so that folders from before are made anew.
RECIPE = 2

TOKEN_STD = 0.02  # of learned tokens and positions, which are the same for all inputs
CONTRAST_GAIN = 8.0  # within a patch, normalised pixels vary by a tenth or so
BRIGHTNESS_GAIN = 0.5
UNSCALED_BLOCKS = 4

_PICTURE_CHANNELS = 3
_LAYER_SCALE = re.compile(r"\.(\d+)\.layer_scale\d\.lambda1$")


def architecture(family: Family, *, scale: Scale, end_token: int) -> PreTrainedConfig:
    """A model's configuration; `end_token` is the id at which CLIP reads a text's vector, for the others unused."""
    if family == "clip_text":
        return _clip_text(scale, end_token=end_token)
    return _ARCHITECTURES[family, scale]()


def _clip_text(scale: Scale, *, end_token: int) -> CLIPTextConfig:
    config = partial(CLIPTextConfig, bos_token_id=end_token - 1, eos_token_id=end_token, pad_token_id=end_token)
    if scale == "full":
        return config()
    return config(
        vocab_size=end_token + 1,
        hidden_size=64,
        intermediate_size=128,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
    )


_dinov3 = partial(DINOv3ViTConfig, hidden_act="silu", use_gated_mlp=True, num_register_tokens=4)

_ARCHITECTURES: Mapping[tuple[Family, Scale], Callable[[], PreTrainedConfig]] = {
    ("vjepa2", "full"): VJEPA2Config,  # transformers' defaults are facebook/vjepa2-vitl-fpc64-256
    ("vjepa2", "demo"): partial(
        VJEPA2Config,
        crop_size=64,
        frames_per_clip=32,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        pred_hidden_size=24,
        pred_num_attention_heads=1,
        pred_num_hidden_layers=1,
        pred_num_mask_tokens=1,
    ),
    ("ast", "full"): partial(ASTConfig, frequency_stride=14, time_stride=14),
    ("ast", "demo"): partial(
        ASTConfig,
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        frequency_stride=16,  # patches side by side: fewer tokens, quicker on a laptop
        time_stride=16,
    ),
    ("dinov3", "full"): partial(
        _dinov3, hidden_size=1280, num_hidden_layers=32, num_attention_heads=20, intermediate_size=5120
    ),
    # As deep as the published ones, so that settings name the same blocks; beyond the deepest asked for none runs.
    ("dinov3", "demo"): partial(
        _dinov3, image_size=112, hidden_size=96, num_hidden_layers=32, num_attention_heads=4, intermediate_size=192
    ),
    ("dinov2", "full"): partial(Dinov2Config, image_size=518),
    ("dinov2", "demo"): partial(
        Dinov2Config, image_size=112, hidden_size=96, num_hidden_layers=12, num_attention_heads=4, mlp_ratio=2
    ),
    ("yamnet", "full"): YamnetConfig,
    ("yamnet", "demo"): partial(YamnetConfig, widths=(16,) * 6 + (32,) * 6 + (64,) * 2, num_classes=2),
    ("efficientnet_lite", "full"): EfficientNetLiteConfig,  # Lite0
    ("efficientnet_lite", "demo"): partial(
        EfficientNetLiteConfig,
        stem_channels=16,
        stage_channels=(16, 24, 32, 48, 64, 80, 96),
        stage_repeats=(1,) * 7,
        head_channels=96,
        num_classes=2,
    ),
}


def demo_backbone_folder(folder: Path, *, family: Family, seed: int) -> Path:
    """`folder`, holding the tiny model of `family` with that seed; made unless it is there already."""
    return save_random_backbone(folder, family=family, scale="demo", seed=seed)


def save_random_backbone(folder: Path, *, family: Family, scale: Scale, seed: int) -> Path:
    """`folder`, holding a model of `family` with random weights: config, safetensors, preprocessor and marker.

    A folder whose marker says the same is used as it is, one whose marker says otherwise is replaced, and any other
    folder is left alone (OutputExistsError). The folder appears whole or not at all, whoever else is writing it. A
    full-size model needs its float32 weights in memory and on disk: up to 3.4 GB.

    Raises:
        OutputExistsError: if there is another folder.
        BackboneError: if the disk refuses the write.
        BusyError: as `new_folder`.
    """
    marker: dict[str, Json] = {
        "random_weights": True,
        "family": family,
        "scale": scale,
        "seed": seed,
        "recipe": RECIPE,
    }
    if _holds(folder, marker=marker):
        return folder
    with _refusals_told(folder.parent):
        with suppress(FileNotFoundError):
            remove_folder(folder)  # of other weights
        try:
            with new_folder(folder) as temporary:
                _write_model(temporary, family=family, scale=scale, seed=seed)
                write_json(temporary / MARKER_FILE, marker)
        except OutputExistsError:  # another process was quicker, which is fine if it made the same model
            if not _holds(folder, marker=marker):
                raise
    return folder


@contextmanager
def _refusals_told(folder: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into `folder` into a sentence."""
    try:
        yield
    except WeldcacheError:
        raise  # some of which are OSErrors too, and have their own words
    except OSError as error:
        raise BackboneError(
            f"{folder} cannot be written to ({reason_of(error)}), and the backbones with random weights belong "
            "there, beside the feature store; choose a folder that can be written to with --cache."
        ) from error


def _holds(folder: Path, *, marker: dict[str, Json]) -> bool:
    if not folder.exists():
        return False
    found = read_marker(folder) if folder.is_dir() else None
    if found is None:
        raise OutputExistsError(f"{folder}: is not a model with random weights made by weldcache; name another folder.")
    return found == marker


def _write_model(folder: Path, *, family: Family, scale: Scale, seed: int) -> None:
    tokenizer = _byte_tokenizer()
    config = architecture(family, scale=scale, end_token=int(tokenizer.eos_token_id))
    with torch.device("meta"):
        model = MODEL_CLASSES[family](config)
    model.load_state_dict(draw_weights(model, seed=seed) | _statistics(model), strict=False, assign=True)
    with quiet_transformers():
        model.save_pretrained(folder)
    if family == "clip_text":
        tokenizer.save_pretrained(folder)
    elif family == "ast":
        published_extractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length).save_pretrained(folder)
    elif family != "yamnet":  # whose preprocessing is part of the family
        _write_pixel_values(folder, family=family, config=config)


def _write_pixel_values(folder: Path, *, family: Family, config: PreTrainedConfig) -> None:
    shared: dict[str, Json] = {
        "do_normalize": True,
        "do_rescale": True,
        "image_mean": list(IMAGENET_MEAN),
        "image_std": list(IMAGENET_STD),
        "rescale_factor": EIGHT_BIT,
    }
    if family == "vjepa2":
        side = config.crop_size
        write_json(folder / "video_preprocessor_config.json", {**shared, "crop_size": {"height": side, "width": side}})
    else:
        side = min(getattr(config, "image_size", PUBLISHED_IMAGE_SIZE), PUBLISHED_IMAGE_SIZE)
        write_json(folder / "preprocessor_config.json", {**shared, "size": {"height": side, "width": side}})


def _byte_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer before its first merge: each byte is a token, in one form inside a word and one at its end."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    # Bytes that do not print are written as the characters from U+0100 on, as in GPT-2's byte-level encoding.
    symbols = [chr(byte) for byte in printable] + [chr(0x100 + index) for index in range(256 - len(printable))]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])


# Weights are drawn such that what a model says still depends on what it is shown. Transformers' own initialisation, a
# standard deviation of 0.02 everywhere, suits a model that is about to be trained: in a small one every residual
# branch and the patch embedding are then so faint that all inputs look alike. Here each linear map and convolution
# keeps the scale of its input (standard deviation 1 / sqrt(fan in), LeCun et al., "Efficient BackProp", 1998), and
# norms and layer scales are 1. Only the branches of deeper blocks are scaled down, so that these still say what the
# first ones saw: on the demo's data (as below, mean of 3 seeds) nearest neighbours on block 32 reach an AUROC of
# 0.75, without the scaling 0.65, and 0.79 on block 4.
#
# A trained model looks at edges and textures, random filters mostly at the brightness of a patch, which is the
# session's lighting. So the filters on pictures are made to answer to contrast. On the demo's data this raises the
# AUROC of nearest neighbours on the demo's photographs (block 2, GeM over patches, maximum over views) from 0.62 to
# 0.79, mean of 3 seeds.


def draw_weights(module: nn.Module, *, seed: int) -> dict[str, Tensor]:
    """Values for all parameters of `module`, which may be on the meta device, by name.

    Each depends on `seed` and its own name only; no global generator is read or moved.
    """
    return {name: _draw(name, tuple(parameter.shape), seed=seed) for name, parameter in module.named_parameters()}


def _draw(name: str, shape: tuple[int, ...], *, seed: int) -> Float32[Tensor, "..."]:
    is_matrix = name.endswith("weight") and len(shape) > 1
    if name.endswith("bias"):
        return torch.zeros(shape)
    if layer_scale := _LAYER_SCALE.search(name):
        return torch.full(shape, _branch_scale(int(layer_scale[1]) + 1))
    if name.endswith("weight") and not is_matrix:
        return torch.ones(shape)
    std = 1 / math.sqrt(math.prod(shape[1:])) if is_matrix else TOKEN_STD
    # numpy's normal numbers are the same on every processor; torch's differ in the last digits between vector widths.
    own_seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    values = np.random.default_rng([seed, own_seed]).standard_normal(shape, dtype=np.float32) * np.float32(std)
    is_picture_filter = len(shape) >= 4 and shape[1] == _PICTURE_CHANNELS
    return _see_contrast(torch.from_numpy(values)) if is_picture_filter else torch.from_numpy(values)


def _statistics(module: nn.Module) -> dict[str, Tensor]:
    """What batch normalisation is to have seen: inputs that ReLU halved, so that each layer keeps the scale of its own
    (He et al., "Delving deep into rectifiers", 2015)."""
    means = {
        name: torch.zeros(values.shape) for name, values in module.named_buffers() if name.endswith("running_mean")
    }
    return means | {name.replace("_mean", "_var"): torch.full(zero.shape, 0.5) for name, zero in means.items()}


def _branch_scale(block: int) -> float:
    """What the branches of a block, counted from 1, are multiplied by.

    A branch that keeps its scale adds the same variance in every block, so that the picture's share of the sum falls as
    1 / depth; scaled by 1 / sqrt(block), what is added grows with the logarithm of the depth alone.
    """
    return math.sqrt(min(1.0, UNSCALED_BLOCKS / block))


def _see_contrast(
    filters: Float32[Tensor, "filters channels *extent"],
) -> Float32[Tensor, "filters channels *extent"]:
    """Weigh each filter's mean, which answers to brightness, against the rest of it, which answers to texture."""
    brightness = filters.mean(dim=tuple(range(2, filters.ndim)), keepdim=True)
    return CONTRAST_GAIN * (filters - brightness) + BRIGHTNESS_GAIN * brightness
