"""How fast is stage one with full-size backbones, what share of the device's arithmetic is that, what is in its way?

Full-size architectures with random weights (V-JEPA 2 ViT-L, AST, DINOv3 ViT-H+/16 to block 32) on synthetic recordings
of real size. The device's rate is measured beside it, by large matrix products in the arithmetic of the backbones.
Meant for a GPU; `--scale demo --size tiny --device cpu` tries the script itself.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from harness import describe_machine, print_json

from weldcache.cache.store import FeatureStore
from weldcache.extract.backbones.random_backbone import save_random_backbone
from weldcache.extract.backbones.spec import Family
from weldcache.extract.estimation.estimate import plan_and_estimate
from weldcache.extract.group_runner import run_plan
from weldcache.extract.reconcile import reconcile
from weldcache.extract.request import make_request
from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import class_counts, plan_for_size
from weldcache.settings import Settings, load_settings

_FAMILIES: dict[str, Family] = {"video": "vjepa2", "audio": "ast", "image": "dinov3", "text": "clip_text"}
_SIDE = 8192  # of the square matrices whose product is timed
_PRODUCTS = 20


def matmul_flops_per_second(device: torch.device, dtype: torch.dtype, *, side: int) -> float:
    """What large matrix products achieve on the device: the most that a backbone could."""
    first, second = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    for timed in (False, True):
        started = time.perf_counter()
        for _ in range(_PRODUCTS if timed else 2):
            first @ second
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return 2 * side**3 * _PRODUCTS / (time.perf_counter() - started)


def settings_for(folder: Path, project: Path, *, scale: str, device: str) -> Settings:
    """Those of v5 with random weights, or of the demo."""
    if scale == "demo":
        return load_settings("demo-random", folder=project, overrides=[f"extract.device={device}"])
    models = {
        section: save_random_backbone(folder / family, family=family, scale="full", seed=0)
        for section, family in _FAMILIES.items()
    }
    named = [f"{section}.model={path}" for section, path in models.items()]
    return load_settings("v5", folder=project, overrides=[*named, f"extract.device={device}", f"data.root={project}"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", choices=("full", "demo"), default="full", help="Size of the backbones.")
    parser.add_argument("--size", choices=("tiny", "small", "full"), default="full", help="Size of the recordings.")
    parser.add_argument("--welds", type=int, default=96)
    parser.add_argument("--workers", type=int, default=8, help="Processes that make the recordings.")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = folder / "project"
        train = class_counts(good=arguments.welds, defects=0)
        plan = replace(plan_for_size(arguments.size), train=train, val={}, test={}, duplicate_runs=0)
        generate(project, plan=plan, workers=arguments.workers)
        settings = settings_for(folder, project, scale=arguments.scale, device=arguments.device)
        request = make_request(settings, split="all")
        store = FeatureStore.create(folder / "features.zarr", index=request.index)
        reconcile(store, request, refresh=False, relabel=False)
        todo, expected = plan_and_estimate(store, request, settings)
        store.set_batching({"group_size": expected.group_size})
        started = time.perf_counter()
        busy = run_plan(todo, store, request, settings)
        seconds = time.perf_counter() - started
        assert expected.speeds is not None
        flops = sum(expected.speeds.flops.values())
        arithmetic = torch.bfloat16 if device.type == "cuda" else torch.float32
        peak = matmul_flops_per_second(device, arithmetic, side=_SIDE if device.type == "cuda" else 1024)
    rate = todo.num_todo / seconds
    print(describe_machine())
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device))
    print(f"{todo.num_todo} welds in {seconds:.1f} s: {rate:.2f} welds/s in groups of {expected.group_size}")
    print(f"{flops / 1e12:.3f} TFLOP a weld: {flops * rate / 1e12:.2f} of {peak / 1e12:.2f} TFLOP/s in matrix products")
    print(f"{expected.feature_bytes / seconds / 1e9:.3f} GB/s written")
    print("busy: " + ", ".join(f"{side} {share:.0%}" for side, share in busy.items()))
    ratios = {"share_of_matmul_rate": flops * rate / peak}
    print_json("extract_full_size", ratios=ratios, targets={})


if __name__ == "__main__":
    main()
