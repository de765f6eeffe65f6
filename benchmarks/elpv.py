"""Do trained backbones tell defective solar cells from sound ones better than shrunken pixels do? Real photographs.

ELPV: 2,624 electroluminescence pictures of cells, 300x300, grey, each with the probability of a defect as experts say
it: 0, 0.33, 0.67 or 1. Buerhop-Lutz et al., "A benchmark for visual identification of defective solar cells in
electroluminescence imagery", EU PVSEC 2018; Deitsch et al., Solar Energy 185, 2019. The pictures are under CC BY-NC-SA
4.0, not for commercial use: they are fetched for you (90.8 MB) and never part of weldcache.

Each figure is of three splits that are drawn anew: learned from half of the functional cells (probability 0), judged
on most of the others and on defective ones. Cells of 0.33 are left out. All goes through the product: a table, a
store, splits, fitted runs, reports. What is in the folder already is not done again.
"""

import argparse
import csv
import json
import re
import statistics
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import describe_machine, print_json

from weldcache import api
from weldcache.extract.weights.catalogue import Wheel
from weldcache.extract.weights.wheel import fetched_wheel

WHEEL = Wheel(
    package="elpv-dataset",
    version="1.0.0.post1",
    size=90_801_454,
    sha256="85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
    files=[],
)
IN_WHEEL = re.compile(r"elpv_dataset/data/(labels\.csv|images/cell[0-9]{4}\.png)")

KINDS: Mapping[str, Mapping[str, str]] = {"mono": {"type": "mono"}, "poly": {"type": "poly"}, "all": {}}
CERTAIN = "certain"
CLASSES = {0.0: "good", 2 / 3: "likely", 1.0: CERTAIN}
# Half of the functional cells to learn from. A run needs validation normals for its threshold, on which no figure here
# depends; defective cells are dealt to val and test in the same ratio, 1 to 9.
VAL, TEST = 0.05, 0.45


@dataclass(frozen=True)
class Detector:
    """A row of the table: which feature, and the settings of the recipe."""

    feature: str
    title: str
    recipe: Mapping[str, Any]


def _pictures(model: str, *, blocks: Sequence[int], size: int) -> dict[str, Any]:
    return {"kind": "photographs", "model": model, "blocks": blocks, "num_views": 1, "size": size}


FEATURES: Mapping[str, Mapping[str, Any]] = {
    "pixels": {"kind": "pixels", "width": 12, "height": 12, "num_views": 1},
    "random": _pictures("demo-dinov2", blocks=[12], size=168),
    "lite0": _pictures("weights:efficientnet-lite0", blocks=[3, 5, 7], size=224),
    "dinov2": _pictures("weights:dinov2-small", blocks=[9, 12], size=168),
}


def _nearest(array: str, metric: str) -> dict[str, Any]:
    return {"name": "nearest", "array": array, "metric": metric}


def _patches(array: str, *, top_percent: float, beside: Sequence[str] = ()) -> dict[str, Any]:
    return {"name": "patch_memory", "array": array, "top_percent": top_percent, "beside": beside}


# Blocks and shares of patches were chosen beforehand, but by somebody who had seen figures of these very cells.
DETECTORS: Mapping[str, Detector] = {
    "pixels_l2": Detector("pixels", "12x12 pixels, nearest", _nearest("pixels/values", "l2")),
    "pixels_cosine": Detector("pixels", "12x12 pixels, nearest by angle", _nearest("pixels/values", "cosine")),
    "random_nearest": Detector("random", "random tiny ViT, nearest", _nearest("random/block_12/mean", "cosine")),
    "random_patches": Detector(
        "random", "random tiny ViT, patches", _patches("random/block_12/patch_tokens", top_percent=10.0)
    ),
    "lite0_nearest": Detector("lite0", "EfficientNet-Lite0, nearest", _nearest("lite0/block_7/mean", "cosine")),
    "lite0_patches": Detector(
        "lite0", "EfficientNet-Lite0, patches", _patches("lite0/block_5/patch_tokens", top_percent=2.0)
    ),
    "dinov2_nearest": Detector("dinov2", "DINOv2 ViT-S/14, nearest", _nearest("dinov2/block_12/mean", "cosine")),
    "dinov2_patches": Detector(
        "dinov2", "DINOv2 ViT-S/14, patches", _patches("dinov2/block_12/patch_tokens", top_percent=10.0)
    ),
}


def _map(feature: str, block: int) -> str:
    return f"{feature}/block_{block}/patch_tokens"


def _of_lite0(*blocks: int) -> dict[str, Any]:
    first, *others = (_map("lite0", block) for block in blocks)
    return _patches(first, beside=others, top_percent=2.0)


# What else could have been looked at, beside which the choices above are to be seen. A table to choose nothing from:
# whoever chooses by it chooses by the cells that are judged.
OTHERS: Mapping[str, Detector] = {
    "lite0_patches_7": Detector("lite0", "EfficientNet-Lite0, patches of stage 7", _of_lite0(7)),
    "lite0_patches_5_3": Detector("lite0", "EfficientNet-Lite0, patches of 5 with 3", _of_lite0(5, 3)),
    "lite0_patches_5_7": Detector("lite0", "EfficientNet-Lite0, patches of 5 with 7", _of_lite0(5, 7)),
    "lite0_patches_5_3_7": Detector("lite0", "EfficientNet-Lite0, patches of 5, 3, 7", _of_lite0(5, 3, 7)),
    "dinov2_mean_9": Detector(
        "dinov2", "DINOv2, nearest by the mean of block 9", _nearest("dinov2/block_9/mean", "cosine")
    ),
    "dinov2_cls_12": Detector(
        "dinov2", "DINOv2, nearest by CLS of block 12", _nearest("dinov2/block_12/cls", "cosine")
    ),
    "dinov2_cls_9": Detector("dinov2", "DINOv2, nearest by CLS of block 9", _nearest("dinov2/block_9/cls", "cosine")),
    "dinov2_patches_9": Detector("dinov2", "DINOv2, patches of block 9", _patches(_map("dinov2", 9), top_percent=10.0)),
    "dinov2_patches_12_9": Detector(
        "dinov2",
        "DINOv2, patches of 12 with 9",
        _patches(_map("dinov2", 12), beside=[_map("dinov2", 9)], top_percent=10.0),
    ),
}
# How much more AUROC (certain defects) than the better one of the two rows of pixels.
TARGETS = {"lite0_patches_over_pixels_mono": 0.03, "lite0_patches_over_pixels_all": 0.03}


@dataclass(frozen=True)
class Figure:
    """AUROC: the mean over splits, and from the lowest to the highest end of their 95 % intervals."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f} {self.high:.3f}]"


def main() -> None:
    """Do what is not done yet, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="The wheel, or a folder with labels.csv and images/; else fetched.")
    parser.add_argument("--out", type=Path, default=Path("elpv"), help="Folder of pictures, store and runs.")
    parser.add_argument("--features", nargs="+", choices=FEATURES, default=["pixels", "random", "lite0"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--others", action="store_true", help="Other blocks and tokens too, alone and side by side.")
    asked = parser.parse_args()
    out = asked.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    pictures = brought(asked.data, out)
    write_table(pictures, out / "cells.csv")
    settings = {**described(pictures, out), "features": FEATURES, "extract.features": asked.features}
    api.extract(api.load_settings("pictures", folder=out, changes=settings))
    detectors = {**DETECTORS, **(OTHERS if asked.others else {})}
    chosen = {name: detector for name, detector in detectors.items() if detector.feature in asked.features}
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {name: {} for name in chosen}
    for kind in asked.kinds:
        for seed in range(asked.splits):
            split = deal(kind, seed, out=out)
            for name, detector in chosen.items():
                changes = {
                    **settings,
                    "recipe": detector.recipe,
                    "train.split": split,
                    "train.seed": seed,
                }
                found[name].setdefault(kind, []).append(judged(f"{split}_{name}", changes, out=out))
    tell(found, of=chosen)


def brought(source: Path | None, out: Path) -> Path:
    """The folder of labels.csv and images/: `source`, or what was in it, or in the wheel that pip fetches."""
    if source is not None and source.is_dir():
        return source.absolute()
    folder = out / "pictures"
    if (folder / "labels.csv").is_file():
        return folder
    if source is not None:
        _unzip(source, folder)
    else:
        print(f"Fetching {WHEEL.release} ({WHEEL.size / 1e6:.0f} MB; CC BY-NC-SA 4.0, not for commercial use).")
        with fetched_wheel(WHEEL, then="python benchmarks/elpv.py --data FILE") as wheel:
            _unzip(wheel, folder)
    return folder


def _unzip(wheel: Path, folder: Path) -> None:
    """The pictures and, as the last, their labels."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        names = [found for found in map(IN_WHEEL.fullmatch, archive.namelist()) if found]
        for name in sorted(names, key=lambda found: found[1]):  # images/ stands before labels.csv
            (folder / name[1]).write_bytes(archive.read(name[0]))


def write_table(pictures: Path, path: Path) -> None:
    """A row a cell, but for those of which the experts were rather sure that they are functional."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["key", "picture", "probability", "label", "certainty", "type"])
        for line in filter(None, (pictures / "labels.csv").read_text(encoding="utf-8").splitlines()):
            picture, probability, kind = line.split()
            certainty = next((name for at, name in CLASSES.items() if abs(float(probability) - at) < 0.01), None)
            if certainty is not None:
                table.writerow([Path(picture).stem, picture, probability, int(certainty != "good"), certainty, kind])


def described(pictures: Path, out: Path) -> dict[str, Any]:
    """Settings: what the table's columns mean. The probability is no attribute: it would tell the label."""
    data = {
        "source": "table",
        "root": str(pictures),
        "table": str(out / "cells.csv"),
        "noun": "cell",
        "label": "label",
        "class_name": "certainty",
        "attributes": ["type"],
        "streams": {"image": "picture"},
    }
    return {"data": data, "extract.device": "cpu", "extract.workers": 0, "train.device": "cpu"}


def deal(kind: str, seed: int, *, out: Path) -> str:
    """The name of a split of the cells of this kind, which is made unless it is there."""
    name = f"{kind}_{seed}"
    settings = api.load_settings(folder=out)
    if name not in api.open_store(str(settings.cache.path)).held.splits():
        api.split(name, api.Dealing(val=VAL, test=TEST, seed=seed, only=KINDS[kind]), settings=settings)
    return name


def judged(run: str, changes: Mapping[str, Any], *, out: Path) -> Mapping[str, Any]:
    """The report of a run, which is trained and judged unless it was."""
    report = out / "runs" / run / "report.json"
    if not report.is_file():
        settings = api.load_settings("pictures", folder=out, changes=changes)
        if run not in api.runs(settings).index:
            api.train(settings, run=run)
        return api.evaluate(settings, run=run).report
    told: Mapping[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return told


def figures(reports: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Certain defects, and all that are at least likely, against functional cells."""
    certain = [
        next(row["auroc"] for row in report["sections"]["by_class"]["rows"]["by_class"] if row["class"] == CERTAIN)
        for report in reports
    ]
    likely = [report["sections"]["headline"]["facts"]["auroc"] for report in reports]
    return {
        name: Figure(
            statistics.mean(each["value"] for each in told),
            min(each["low"] for each in told),
            max(each["high"] for each in told),
        )
        for name, told in (("certain", certain), ("likely", likely))
    }


def tell(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], *, of: Mapping[str, Detector]) -> None:
    """Print a table a kind of cell, and the JSON line."""
    print(describe_machine())
    ratios: dict[str, float] = {}
    width = max(len(of[name].title) for name in found)
    for kind in next(iter(found.values())):
        facts = [report["sections"]["headline"]["facts"] for report in found[next(iter(found))][kind]]
        normal, defect = facts[0]["num_normal"], facts[0]["num_defect"]
        print(f"{kind}, {len(facts)} splits, judged on {normal} functional and {defect} defective cells")
        print(f"{'':{width}}  {'certain defects':24}  likely ones too")
        for name, by_kind in found.items():
            told = figures(by_kind[kind])
            print(f"{of[name].title:{width}}  {told['certain']!s:24}  {told['likely']}")
            ratios |= {f"{name}_{kind}_{sureness}": figure.value for sureness, figure in told.items()}
        control = max(ratios.get(f"{name}_{kind}_certain", 0.0) for name in ("pixels_l2", "pixels_cosine"))
        for name in found:
            if control and of[name].feature != "pixels":
                ratios[f"{name}_over_pixels_{kind}"] = ratios[f"{name}_{kind}_certain"] - control
    print_json("elpv", ratios=ratios, targets={name: at for name, at in TARGETS.items() if name in ratios})


if __name__ == "__main__":
    main()
