"""Birds from the first command to the last, as docs/cub.md has them, and what is honest of their figures."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weldcache.cache.store import FeatureStore
from weldcache.evaluate.trials.variant_list import load_variant_list

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/cub.md").read_text()
Run = Callable[..., Any]


def commands_of(page: str) -> list[list[str]]:
    """The commands in the page's blocks, those of the next block behind those of the one before."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_page_run(weldcache: Run, tmp_path: Path, undrawn: None) -> None:
    """On the smallest size, with few epochs."""
    commands = commands_of(PAGE)
    assert [command[1] for command in commands] == [
        *("synth", "birds", "extract", "train", "eval"),
        *("extract", "train", "eval"),
    ]
    folder = tmp_path
    for program, *arguments in commands:
        if program == "cd":
            folder = folder / arguments[0]
            continue
        if arguments[0] == "synth":
            arguments = ["tiny" if argument == "small" else argument for argument in [*arguments, "--workers", "1"]]
        else:
            less = {"extract": "extract.workers=0", "train": "train.epochs=2", "eval": "evaluate.media=none"}
            arguments += ["--set", less[arguments[0]]]
        outcome = weldcache(*arguments, folder=folder)
        assert outcome.code == 0, (arguments, outcome.err)
    assert "told, an oracle told oracle_class_attributes on test" in outcome.out


def test_the_variants_of_the_list_are_recipes_that_there_are() -> None:
    assert len(load_variant_list("cub").variants) == 11


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that are asked for: a hub and a timm with stages of ResNet-50's shapes, which see colours alone."""
    import huggingface_hub
    import torch
    from safetensors.torch import save_file

    class Stages(torch.nn.Module):
        feature_info = tuple({"module": name} for name in ("act1", "layer1", "layer2", "layer3", "layer4"))

        def __init__(self) -> None:
            super().__init__()
            self.colours = torch.nn.Conv2d(3, 2048, 1)

        def forward_intermediates(self, pictures: torch.Tensor, **options: object) -> list[torch.Tensor]:
            side = [torch.nn.functional.avg_pool2d(pictures, 2**stage) for stage in range(1, 6)]
            return [*side[:4], self.colours(side[4])]

    folder, asked = tmp_path / "hub", list[str]()
    folder.mkdir()
    stated = {"input_size": [3, 224, 224], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet50", "pretrained_cfg": stated}))
    save_file(Stages().state_dict(), folder / "model.safetensors")
    timm = SimpleNamespace(
        __version__="1", is_model=lambda name: name == "resnet50", create_model=lambda *_, **__: Stages()
    )
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda model, **_: asked.append(model) or str(folder))
    return asked


def test_the_preset_of_the_original_takes_the_last_stage_of_its_backbone(
    weldcache: Run, tmp_path: Path, hub: list[str], undrawn: None
) -> None:
    project, options = tmp_path / "birds", ["--field", "cub", "--size", "tiny", "--preset", "cub", "--workers", "1"]
    assert weldcache("synth", str(project), *options, folder=tmp_path).code == 0
    for command, setting in (("extract", "extract.workers=0"), ("train", "train.epochs=1")):
        outcome = weldcache(command, "--set", setting, folder=project)
        assert outcome.code == 0, outcome.err
    assert set(hub) == {"timm/resnet50.tv_in1k"}
    store = FeatureStore.open(project / "features.zarr")
    assert store.array_spec("image/block_5/mean").shape == (1, 2048)  # a view
    assert "recipe.array = image/block_5/mean" in outcome.err


def test_without_timm_the_preset_says_what_to_install(
    weldcache: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    options = ["--field", "cub", "--size", "tiny", "--preset", "cub", "--workers", "1"]
    assert weldcache("synth", "birds", *options, folder=tmp_path).code == 0
    for command in ("plan", "extract"):
        outcome = weldcache(command, folder=tmp_path / "birds")
        assert outcome.code == 2 and "features.image.model" in outcome.err and ".[timm]" in outcome.err
    assert not (tmp_path / "birds/features.zarr").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistakes", "recipe", "low", "high"),
    [
        (["random-pictures"], ["recipe.name=cub_fusion"], 0.0, 0.35),
        (
            ["random-pictures", "readable-attributes"],
            ["recipe.name=cub_fusion", "recipe.attributes=oracle_attributes/values"],
            1.0,
            1.0,
        ),
    ],
)
def test_what_the_original_did_can_be_planted(
    mistakes: list[str], recipe: list[str], low: float, high: float, weldcache: Run, tmp_path: Path, undrawn: None
) -> None:
    """A class is one of six. By attributes that hold it, pictures of nothing are told perfectly, as they once were; it
    is an oracle's result, and nothing of this is ever judged good."""
    project = tmp_path / "birds"
    planted = [word for mistake in mistakes for word in ("--plant", mistake)]
    options = ["--size", "tiny", "--preset", "cub-pixels", "--workers", "1", *planted]
    assert weldcache("synth", str(project), "--field", "cub", *options, folder=tmp_path).code == 0
    features = ["extract.features=[image,oracle_attributes,oracle_class_attributes]", "extract.workers=0"]
    training = [*recipe, "train.epochs=20", "train.batch_size=16"]
    for command, settings in (("extract", features), ("train", training), ("eval", ["evaluate.media=none"])):
        said = [word for setting in settings for word in ("--set", setting)]
        outcome = weldcache(command, *(["--run", "mine"] if command != "extract" else []), *said, folder=project)
        assert outcome.code == 0, outcome.err
    sections = json.loads((project / "runs/mine/report.json").read_text())["sections"]
    assert low <= sections["headline"]["facts"]["accuracy"]["value"] <= high
    assert sections["verdict"]["standing"] != "good"
    is_oracle = "recipe.attributes=oracle_attributes/values" in recipe
    assert ("mine, an oracle told oracle_attributes" in outcome.out) == is_oracle
    if is_oracle:
        lost = {row["modality"]: row["difference"] for row in sections["modalities"]["rows"]["by_modality"]}
        assert lost["image"]["high"] < 0.1 < 0.5 < lost["oracle_attributes"]["low"]
    else:
        assert sections["predicted_attributes"]["facts"]["mean_auroc"]["low"] < 0.55


@pytest.mark.slow
def test_honest_recipes_beat_their_controls_and_the_oracle_is_a_leak(
    weldcache: Run, tmp_path: Path, undrawn: None
) -> None:
    project = tmp_path / "birds"
    options = ["--field", "cub", "--size", "small", "--preset", "cub-pixels", "--workers", "1"]
    assert weldcache("synth", str(project), *options, folder=tmp_path).code == 0
    with (project / "weldcache.yaml").open("a") as file:
        file.write("extract:\n  workers: 0\nevaluate:\n  media: none\ntrain:\n  device: cpu\n")
    features = "extract.features=[image,oracle_attributes,oracle_class_attributes]"
    assert weldcache("extract", "--set", features, folder=project).code == 0
    runs = {
        "image": ["recipe.name=linear_probe"],
        "fusion": ["recipe.name=cub_fusion", "train.epochs=20"],
        "bottleneck": ["recipe.name=cub_bottleneck", "train.epochs=40"],
        "told": ["recipe.name=cub_fusion", "recipe.attributes=oracle_class_attributes/values", "train.epochs=20"],
    }
    reports = {}
    for name, settings in runs.items():
        said = [word for setting in settings for word in ("--set", setting)]
        assert weldcache("train", "--run", name, *said, folder=project).code == 0
        assert weldcache("eval", "--run", name, folder=project).code == 0
        reports[name] = json.loads((project / "runs" / name / "report.json").read_text())["sections"]
    ceiling = json.loads((project / "synth.json").read_text())["accuracy_ceiling"]
    for name in ("image", "fusion", "bottleneck"):
        sections = reports[name]
        accuracy = sections["headline"]["facts"]["accuracy"]
        assert accuracy["low"] > 2 * sections["headline"]["facts"]["majority_accuracy"]["high"]
        assert accuracy["high"] < ceiling
        assert sections["verdict"]["standing"] == "good"
        controls = {row["control"]: row for row in sections["controls"]["rows"]["by_control"]}
        assert controls["media-free control"]["difference"]["low"] > 0
        assert controls["oracle control (attributes)"]["difference"]["high"] < 0
        assert sections["controls"]["facts"]["permutation_p_value"] < 0.01
        (image,) = sections["modalities"]["rows"]["by_modality"]
        assert image["difference"]["low"] > 0.1
        if name != "image":
            predicted = sections["predicted_attributes"]
            facts, values = predicted["facts"], predicted["rows"]["by_value"]
            assert facts["mean_auroc"]["low"] > 0.5
            assert facts["mean_ap"]["low"] > facts["mean_prevalence"]
            assert {row["value"] for row in values} >= {"has_size::small", "has_belly_pattern::spotted"}
    told = reports["told"]
    # More right than who knows how each bird truly looks: the class itself was read.
    assert told["headline"]["facts"]["accuracy"]["value"] > ceiling
    lost = {row["modality"]: row["difference"] for row in told["modalities"]["rows"]["by_modality"]}
    assert lost["oracle_class_attributes"]["low"] > 0.5 > 0.1 > lost["image"]["high"]
