"""How long does a whole run of preset v5 take at full size, and how far is a step from the memory's speed?

The real loop (train_epochs, Validator) on random features made on the device: 576 welds to train on, 1,732 scored every
epoch, 100 epochs, as in the data set that the preset comes from. Nothing is read from a store or written to a run's
folder. On a GPU arithmetic (float32, bfloat16) and modes of torch.compile are tried against one another on a part of
the run first, and the whole run takes the fastest. `--device cpu --scale 0.05` runs all of it, small, in a minute.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from floors import count_flops, measure_rates, num_bytes, wait_for
from full_size import random_features, v5_settings, v5_state
from harness import describe_machine, print_json

from weldcache.settings import Settings
from weldcache.train.data.batches import num_shuffled_batches, shuffled_batches
from weldcache.train.data.resident import ResidentFeatures
from weldcache.train.loop import EpochResult, train_epochs
from weldcache.train.tasks import AnomalyTask
from weldcache.train.validation import Validator

NUM_TRAIN, NUM_NORMALS, NUM_DEFECTS, NUM_EPOCHS = 576, 122, 1_610, 100
TRIAL_EPOCHS = 4  # the first of them compiles and is not counted
RUN_TARGET = 10.0  # seconds
STEP_TARGET = 3.0  # times the floor
# Passes over the weights that an update cannot do without: the norm of the gradient (1), AdamW (7), the average (2, as
# it may read the new weights while they are there); forward and backward read them once each and write gradients.
WEIGHT_PASSES = 13


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    device = torch.device(arguments.device)
    print(describe_machine(), torch.cuda.get_device_name(device) if device.type == "cuda" else "")
    num_train, num_normals, num_defects = (
        max(4, round(count * arguments.scale)) for count in (NUM_TRAIN, NUM_NORMALS, NUM_DEFECTS)
    )
    train = random_features(num_train, device=device, seed=0)
    validation = random_features(num_normals + num_defects, device=device, seed=1)
    labels = np.repeat(np.array([0, 1], np.uint8), [num_normals, num_defects])
    print(f"features: {(train.rows.num_bytes + validation.rows.num_bytes) / 1e9:.2f} GB on {device}")

    fastest = choose_fastest(arguments, train, validation, labels)
    settings = settings_for(arguments, epochs=arguments.epochs, variant=fastest)
    wait_for(device)
    started = time.perf_counter()
    epochs = list(run_epochs(settings, train, validation, labels))
    wait_for(device)
    seconds = time.perf_counter() - started
    print(f"whole run, {len(epochs)} epochs, {name_of(fastest)}: {seconds:.2f} s (target {RUN_TARGET:g} s on an H200)")

    once = settings_for(arguments, epochs=1, variant=fastest)
    if device.type == "cuda":
        waits = count_host_waits(once, train, validation, labels)
        print(f"the host waits for the device {waits} times in an epoch of {num_batches(once, train)} steps")
    welds_a_second = statistics.median(float(epoch.metrics["samples_per_second"] or 0) for epoch in epochs)
    step_seconds = len(train) / welds_a_second / num_batches(once, train)
    ratio = step_over_floor(once, train, step_seconds=step_seconds)
    print_json(
        "train_full_size",
        ratios={"run_seconds": seconds, "step_over_floor": ratio},
        targets={"run_seconds": RUN_TARGET, "step_over_floor": STEP_TARGET},
    )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, default=NUM_EPOCHS)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the welds")
    parser.add_argument("--compile", action="store_true", help="try torch.compile on a CPU too")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="a setting, section.key=value")
    return parser.parse_args()


def choose_fastest(
    arguments: argparse.Namespace, train: ResidentFeatures, validation: ResidentFeatures, labels: np.ndarray
) -> Mapping[str, str]:
    """Try the variants for a few epochs each, print the medians, and return the one with the shortest epoch."""
    on_cuda = train.device.type == "cuda"
    precisions = ["float32", "bfloat16"] if on_cuda else ["float32"]
    modes = ["off", "default", "reduce-overhead"] if on_cuda else ["off", "default"] if arguments.compile else ["off"]
    variants = [{"precision": precision, "compile": mode} for precision in precisions for mode in modes]
    medians = []
    for variant in variants:
        torch.compiler.reset()
        settings = settings_for(arguments, epochs=TRIAL_EPOCHS, variant=variant)
        results = list(run_epochs(settings, train, validation, labels))
        seconds = [float(result.metrics["seconds"] or 0) for result in results]
        per_second = statistics.median(float(result.metrics["samples_per_second"] or 0) for result in results[1:])
        medians.append(statistics.median(seconds[1:]))
        print(
            f"{name_of(variant):28}  epoch {medians[-1] * 1e3:9.1f} ms (first {seconds[0]:6.2f} s), "
            f"{per_second:9,.0f} training welds a second"
        )
    return variants[int(np.argmin(medians))]


def num_batches(settings: Settings, train: ResidentFeatures) -> int:
    """Steps of an epoch."""
    return num_shuffled_batches(len(train), batch_size=settings.train.batch_size)


def settings_for(arguments: argparse.Namespace, *, epochs: int, variant: Mapping[str, str]) -> Settings:
    """The preset, without early stopping."""
    # Quoted, because a bare off is false to YAML.
    chosen = [f"train.{name}='{value}'" for name, value in variant.items()]
    return v5_settings(f"train.epochs={epochs}", f"train.patience={epochs}", *chosen, *arguments.overrides)


def name_of(variant: Mapping[str, str]) -> str:
    """For a line of print."""
    return f"{variant['precision']}, compile {variant['compile']}"


def run_epochs(
    settings: Settings, train: ResidentFeatures, validation: ResidentFeatures, labels: np.ndarray
) -> Iterator[EpochResult]:
    """A run from new weights, by the loop itself."""
    recipe, state = v5_state(settings, train)
    validator = Validator(
        recipe,
        validation,
        task=AnomalyTask(),
        targets={"label": labels},
        batch_size=settings.train.batch_size,
        precision=settings.train.precision,
    )
    yield from train_epochs(
        recipe,
        state=state,
        samples=train,
        validate=validator,
        settings=settings.train,
        on_batch=lambda size: None,
    )


def step_over_floor(settings: Settings, train: ResidentFeatures, *, step_seconds: float) -> float:
    """Time of a training step over what its bytes and matrix products take at the device's measured speed."""
    rates = measure_rates(train.device)
    recipe, state = v5_state(settings, train)
    order = shuffled_batches(len(train), batch_size=settings.train.batch_size, generator=torch.Generator())
    (batch,) = train.batches(order[:1])
    noise = torch.Generator(train.device).manual_seed(0)

    def forward_and_backward() -> None:
        recipe.loss(state.model, recipe.encode(state.model, batch, noise), {}).total.backward()  # type: ignore[no-untyped-call]

    flops = count_flops(forward_and_backward)
    # Features are read from where they stay, written to the batch and read from there.
    moved = 3 * num_bytes(*batch.tensors()) + WEIGHT_PASSES * num_bytes(*state.model.parameters())
    floor = rates.floor(num_bytes=moved, gemm_flops=flops)
    print(
        f"a step of {len(order[0])} welds: {step_seconds * 1e3:.2f} ms; it moves {moved / 1e9:.2f} GB and computes "
        f"{flops / 1e9:.0f} GFLOP; {rates}; floor {floor * 1e3:.2f} ms, {step_seconds / floor:.1f} times that"
    )
    return step_seconds / floor


def count_host_waits(
    settings: Settings, train: ResidentFeatures, validation: ResidentFeatures, labels: np.ndarray
) -> int:
    """How often the host waits for a GPU in an epoch, validation included: a few times, but not at every step."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            list(run_epochs(settings, train, validation, labels))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


if __name__ == "__main__":
    main()
