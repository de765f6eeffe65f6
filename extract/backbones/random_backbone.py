"""Whole model folders with random weights: tiny ones for the demo and tests, full-size ones for benchmarks.

They hold the files that a hub model holds and load through the same code, so the demo runs every line that a real
extraction runs. A marker file says that the weights know nothing; the store and the report repeat it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from transformers import CLIPTokenizer, PreTrainedConfig

from ...atomic import new_folder, remove_folder, write_json
from ...documents import Json
from ...errors import BackboneError, OutputExistsError, WeldcacheError, reason_of
from .architectures import MODEL_CLASSES, Scale, architecture
from .audio_spectrogram import published_extractor
from .checkpoint import MARKER_FILE, read_marker
from .families import Family
from .preprocessing import EIGHT_BIT, IMAGENET_MEAN, IMAGENET_STD, PUBLISHED_IMAGE_SIZE
from .pretrained import quiet_transformers
from .random_weights import draw_weights

# Raised when the same seed would give other weights or more of them, so that folders from before are made anew.
RECIPE = 2


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
    model.load_state_dict(draw_weights(model, seed=seed), strict=False, assign=True)
    with quiet_transformers():
        model.save_pretrained(folder)
    if family == "clip_text":
        tokenizer.save_pretrained(folder)
    elif family == "ast":
        published_extractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length).save_pretrained(folder)
    else:
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
        side = min(config.image_size, PUBLISHED_IMAGE_SIZE)
        write_json(folder / "preprocessor_config.json", {**shared, "size": {"height": side, "width": side}})


def _byte_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer before its first merge: each byte is a token, in one form inside a word and one at its end."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    # Bytes that do not print are written as the characters from U+0100 on, as in GPT-2's byte-level encoding.
    symbols = [chr(byte) for byte in printable] + [chr(0x100 + index) for index in range(256 - len(printable))]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
