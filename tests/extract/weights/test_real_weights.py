"""The real weights, where this machine has them (`weldcache weights add`): they know what models of their name know."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.extract.backbones.checkpoint import open_checkpoint, weights_sha256
from weldcache.extract.backbones.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.preprocessing import IMAGE_FILES, read_pixel_preprocessing
from weldcache.extract.backbones.pretrained import load_config, load_pretrained
from weldcache.extract.backbones.spec import Placement
from weldcache.extract.backbones.yamnet import PIECE_FRAMES, Yamnet, YamnetConfig, log_mel
from weldcache.extract.decode.decoded import Photographs
from weldcache.extract.features.settings import BackboneSettings
from weldcache.extract.weights.catalogue import ENTRIES
from weldcache.extract.weights.installation import check

PHOTOGRAPHS_VARIABLE = "WELDCACHE_TEST_PHOTOGRAPHS"  # a folder with scikit-image's photographs

pytestmark = pytest.mark.slow


def needs(name: str) -> pytest.MarkDecorator:
    """Skips a test where the weights are not on this machine."""
    missing = not ENTRIES[name].folder.is_dir()
    return pytest.mark.skipif(missing, reason=f"{name} is not here: weldcache weights add {name}")


@pytest.fixture(scope="module")
def placement() -> Placement:
    return Placement(device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def photograph() -> Callable[[str], Path]:
    """One of scikit-image's photographs, from the folder that the environment names or an installed scikit-image."""
    package = find_spec("skimage")
    folders = [os.environ.get(PHOTOGRAPHS_VARIABLE)]
    folders += [] if package is None or package.origin is None else [str(Path(package.origin).parent / "data")]
    folder = next((Path(each) for each in folders if each and Path(each, "chelsea.png").is_file()), None)
    if folder is None:
        pytest.skip(f"neither scikit-image nor a folder of its photographs in {PHOTOGRAPHS_VARIABLE}")
    return lambda name: folder / name


def lite0(placement: Placement) -> EfficientNetLite:
    checkpoint = open_checkpoint("weights:efficientnet-lite0", revision=None, setting="model")
    config = load_config(EfficientNetLiteConfig, checkpoint=checkpoint)
    return load_pretrained(EfficientNetLite, checkpoint=checkpoint, config=config, placement=placement).eval()


def pixels_of(path: Path, *, folder: Path, size: int) -> Tensor:
    """The middle square of a photograph as a classifier sees it, (1, 3, size, size)."""
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    preprocessing = read_pixel_preprocessing(folder, files=IMAGE_FILES, size=size, default_size=size)
    resized = preprocessing.resize(picture[top : top + side, left : left + side])
    return preprocessing.normalise(torch.from_numpy(resized)[None])


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_here_is_what_the_catalogue_says(name: str) -> None:
    if not ENTRIES[name].folder.is_dir():
        pytest.skip(f"{name} is not here: weldcache weights add {name}")
    assert check(ENTRIES[name]).state == "here"
    assert weights_sha256([ENTRIES[name].folder / "model.safetensors"]) == ENTRIES[name].tensors_sha256


# Numbers of ImageNet's classes.
CLASSES = {
    "chelsea.png": {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"},
    "coffee.png": {967: "espresso", 968: "cup"},
    "camera.png": {872: "tripod"},
    "rocket.jpg": {657: "missile", 744: "projectile"},
}


@needs("efficientnet-lite0")
@pytest.mark.parametrize("name", CLASSES)
def test_lite0_tells_what_is_on_photographs(name: str, photograph: Callable[[str], Path], placement: Placement) -> None:
    model = lite0(placement)
    with torch.inference_mode():
        pixels = pixels_of(photograph(name), folder=ENTRIES["efficientnet-lite0"].folder, size=224)
        probabilities = model(pixels).softmax(dim=-1)[0]
    expected, best = CLASSES[name], probabilities.topk(len(CLASSES[name]))
    print(name, [(int(index), round(float(share), 3)) for share, index in zip(*best, strict=True)])
    assert set(best.indices.tolist()) == set(expected)


@needs("efficientnet-lite0")
def test_lite0_has_the_logits_of_timm(placement: Placement) -> None:
    try:
        import timm
    except Exception as error:  # beside some builds of torch, torchvision, which timm imports, fails as it likes
        pytest.skip(f"timm cannot be imported here: {error!r}")
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    mine = lite0(placement)
    theirs.load_state_dict(mine.state_dict() | {k: v for k, v in theirs.state_dict().items() if "num_batches" in k})
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(mine(pixels), theirs(pixels))


@needs("efficientnet-lite0")
def test_lite0_is_a_backbone_for_pictures(placement: Placement, tmp_path: Path) -> None:
    loader = BackboneLoader(placement=placement, demo_folder=tmp_path, demo_seed=0)
    settings = BackboneSettings(model="weights:efficientnet-lite0")
    backbone = loader.pictures(settings, key="features.image", blocks=(5, 7), size=224)
    assert backbone.spec.weights_sha256 == ENTRIES["efficientnet-lite0"].tensors_sha256
    assert not backbone.spec.random_weights
    backbone.load()
    generator = torch.Generator().manual_seed(0)
    made = backbone(torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8, generator=generator))
    assert {block: made[block]["patch_tokens"].shape[1:] for block in made} == {5: (196, 112), 7: (49, 320)}


HALVES = (
    *("astronaut.png", "brick.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg"),
)


@needs("dinov2-small")
def test_dinov2_loads_whole_and_knows_the_halves_of_a_photograph_for_one(
    photograph: Callable[[str], Path], placement: Placement, tmp_path: Path
) -> None:
    """Nothing is missing, or it would not load; each left half is most like its own right half. A network of the same
    shape with random weights knows 6 of the 14."""
    loader = BackboneLoader(placement=placement, demo_folder=tmp_path, demo_seed=0)
    settings = BackboneSettings(model="weights:dinov2-small")
    backbone = loader.pictures(settings, key="features.image", blocks=(9,), size=112)
    assert backbone.spec.weights_sha256 == ENTRIES["dinov2-small"].tensors_sha256
    pictures = [cv2.cvtColor(cv2.imread(str(photograph(name))), cv2.COLOR_BGR2RGB) for name in HALVES]
    halves = [half for each in pictures for half in (each[:, : each.shape[1] // 2], each[:, each.shape[1] // 2 :])]
    made = backbone(backbone.preparation(Photographs(tuple(halves))))[9]["mean"]
    directions = torch.nn.functional.normalize(made, dim=-1)
    right = (directions[::2] @ directions[1::2].T).argmax(dim=1) == torch.arange(len(HALVES))
    print("halves found", int(right.sum()), "of", len(HALVES))
    assert right.all()


# Numbers of AudioSet's classes, and sounds of four seconds that need no recording.
SOUNDS = {
    494: ("Silence", lambda seconds, noise: 0 * seconds),
    387: ("Dial tone", lambda seconds, noise: 0.3 * np.sin(2 * np.pi * 440 * seconds)),
    514: ("White noise", lambda seconds, noise: 0.3 * noise),
}


@needs("yamnet")
@pytest.mark.parametrize("number", SOUNDS)
def test_yamnet_tells_what_sounds(number: int, placement: Placement) -> None:
    checkpoint = open_checkpoint("weights:yamnet", revision=None, setting="model")
    config = load_config(YamnetConfig, checkpoint=checkpoint)
    model = load_pretrained(Yamnet, checkpoint=checkpoint, config=config, placement=placement).eval()
    seconds = np.arange(4 * 16_000) / 16_000
    noise = np.random.default_rng(0).uniform(-1, 1, len(seconds))
    frames = log_mel(SOUNDS[number][1](seconds, noise).astype(np.float32))
    pieces = torch.from_numpy(frames).unfold(0, PIECE_FRAMES, PIECE_FRAMES // 2).transpose(1, 2)
    with torch.inference_mode():
        shares = model(pieces).sigmoid().mean(dim=0)
    best = shares.topk(3)
    print(SOUNDS[number][0], [(int(i), round(float(share), 2)) for share, i in zip(*best, strict=True)])
    assert number in best.indices.tolist() and shares[number] > 0.2


@needs("yamnet")
def test_yamnet_is_a_backbone_for_sound(placement: Placement, tmp_path: Path) -> None:
    loader = BackboneLoader(placement=placement, demo_folder=tmp_path, demo_seed=0)
    backbone = loader.sound(BackboneSettings(model="weights:yamnet"), key="features.audio", block=6)
    assert backbone.spec.weights_sha256 == ENTRIES["yamnet"].tensors_sha256
    assert (backbone.dim, backbone.num_tokens) == (256, 128)
    backbone.load()
