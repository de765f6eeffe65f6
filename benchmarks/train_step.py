"""Where does the time of a training step go, and how far is each part from what the machine could do?

Preset v5 at full sizes on random features, 32 welds a batch. Parts are timed one by one, forward and backward together,
taking turns with the whole step; what they leave over are the seams between them. A part's floor is the larger of two
times: for its arithmetic at the measured rate (matrix products, and for the fused kernels their own operations), and
for the bytes that it cannot but read and write at the measured bandwidth: features, the arrays it is given and makes,
and its parameters.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from floors import Rates, count_flops, measure_rates, num_bytes, wait_for
from full_size import random_features, v5_settings, v5_state
from harness import describe_machine, measure_in_turns, print_json
from torch import Tensor, nn

from weldcache.settings import Settings
from weldcache.train.data.resident import ResidentFeatures
from weldcache.train.recipes.causal_film.augmentation import augment
from weldcache.train.recipes.causal_film.module import StandardisedCausalFilm
from weldcache.train.recipes.causal_film.process import Modulation, modulate
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.recipes.recipe import Trained
from weldcache.train.settings import RecipeSettings
from weldcache.train.state import TrainingState, update_average
from weldcache.train.types import Batch

NUM_WELDS = 64  # that batches are drawn from; the gather has to go through memory as it does with more of them
TARGET = 3.0  # times the floor

STEP = "whole step"
SCAN_FLOPS = 56  # a state of a channel at a step, forward and backward with the replay; a multiply-add counts as two
GEM_FLOPS = 45  # a token's value
MODEL_BYTES_IN_STEP = {"clip": 3, "AdamW": 7, "moving average": 3}  # times the parameters' bytes


@dataclass(frozen=True)
class Part:
    """Something of a step that runs by itself, and what it cannot do without."""

    run: Callable[[], object]
    num_bytes: float = 0
    vector_flops: float = 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="a setting, section.key=value")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    print(describe_machine())
    rates = measure_rates(device)
    print(rates)
    settings = v5_settings(*arguments.overrides)
    features = random_features(NUM_WELDS, device=device, seed=0)
    recipe, state = v5_state(settings, features)
    parts = step_parts(recipe, state, features, settings=settings)
    sides = {name: waited_for(part.run, device) for name, part in parts.items()}
    seconds = measure_in_turns(sides, num_rounds=arguments.rounds, num_warm_ups=2)
    report_parts(parts, seconds, rates=rates)


def waited_for(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """`run` and whatever it has told the device to do."""

    def run_and_wait() -> None:
        run()
        wait_for(device)

    return run_and_wait


def step_parts(
    recipe: Trained, state: TrainingState, features: ResidentFeatures, *, settings: Settings
) -> dict[str, Part]:
    """The parts in the order in which a step goes through them, and the step itself."""
    draws = torch.Generator().manual_seed(0)
    noise = torch.Generator(features.device).manual_seed(0)

    def gather() -> Batch:
        (batch,) = features.batches([torch.randperm(len(features), generator=draws)[: settings.train.batch_size]])
        return batch

    def train() -> None:
        losses = recipe.loss(state.model, recipe.encode(state.model, gather(), noise), {})
        state.optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        update_weights(state)

    state.model.train()
    train()  # so that there are gradients and moments
    batch = gather()
    parts = {"gather": Part(gather, num_bytes=2 * batch.num_bytes)}
    parts |= module_parts(recipe, state, batch, noise=noise, settings=settings.recipe)
    parts |= update_parts(state)
    total_bytes = sum(part.num_bytes for part in parts.values())
    parts[STEP] = Part(train, num_bytes=total_bytes, vector_flops=sum(part.vector_flops for part in parts.values()))
    return parts


def module_parts(
    recipe: Trained, state: TrainingState, batch: Batch, *, noise: torch.Generator, settings: RecipeSettings
) -> dict[str, Part]:
    """Each of the film's modules on the arrays that it gets in a step, forward and backward."""
    model = state.model
    assert isinstance(model, StandardisedCausalFilm) and isinstance(settings, CausalFilmSettings)
    film, inputs = model.film, model.inputs(batch)
    sensors, modulator, absent = inputs.sensor, film.sensor_modulator, film.absent
    result, blocks, gate = film.result_encoder, film.result_encoder.blocks, film.result_encoder.gate
    assert sensors is not None and modulator is not None and absent is not None and gate is not None
    (modulation,) = (Modulation(leaf(part.gamma), leaf(part.beta)) for part in modulator(sensors))
    video, audio = (leaf(film.video_projector(inputs.video)), leaf(film.audio_projector(inputs.audio)))
    pooled = leaf(torch.cat([block(patches) for block, patches in zip(blocks, inputs.patches, strict=True)], dim=-1))
    encodings = {
        name: leaf(encoding) if encoding.is_floating_point() else encoding
        for name, encoding in recipe.encode(model, batch, noise).items()
    }
    hidden = modulator.head.in_features
    num_states = 2 * 16 * 2 * hidden * sensors.shape[0] * sensors.shape[1]  # layers, states, channels
    num_activations = 2 * 6 * 2 * hidden * sensors.shape[0] * sensors.shape[1] * 4  # layers, arrays, channels

    def project() -> list[Tensor]:
        return [film.video_projector(inputs.video), film.audio_projector(inputs.audio)]

    def encode_process() -> list[Tensor]:
        return [film.decoder(film.process_encoder(video, audio=audio, audio_padding=inputs.audio_padding))]

    def modulate_tokens() -> list[Tensor]:
        augmented = augment(inputs, settings=settings, numbers=model.numbers, spreads=model.spreads(), generator=noise)
        filled, _ = absent.fill_audio(audio, padding=inputs.audio_padding, present=inputs.present["audio"])
        seen = absent.fill_video(video, present=inputs.present["video"])
        tokens = [modulate(seen, modulation), modulate(filled, modulation)]
        return [*tokens, augmented.video[0, 0, 0].float(), augmented.audio[0, 0, 0].float()]

    def pool() -> list[Tensor]:
        return [block(patches) for block, patches in zip(blocks, inputs.patches, strict=True)]

    def encode_result() -> list[Tensor]:
        return [result.head(pooled * gate(pooled)).amax(dim=1)]

    return {
        "sensors (scan)": differentiated(
            lambda: list(film._modulations(inputs)[0]),
            [modulator],
            num_arrays_bytes=5 * num_activations,
            vector_flops=SCAN_FLOPS * num_states,
        ),
        "projectors": differentiated(
            project,
            [film.video_projector, film.audio_projector],
            num_arrays_bytes=2 * num_bytes(inputs.video, inputs.audio) + 10 * num_bytes(video, audio),
        ),
        "masks and modulation": differentiated(
            modulate_tokens,
            [absent],
            num_arrays_bytes=2 * num_bytes(inputs.video, inputs.audio) + 4 * num_bytes(video, audio),
        ),
        "process encoder (attention)": differentiated(
            encode_process, [film.process_encoder, film.decoder], num_arrays_bytes=6 * num_bytes(video, audio)
        ),
        "pooling": differentiated(
            pool,
            list(blocks),
            num_arrays_bytes=num_bytes(*inputs.patches) + 3 * num_bytes(pooled),
            vector_flops=GEM_FLOPS * sum(patches.numel() for patches in inputs.patches),
        ),
        "gate and head": differentiated(encode_result, [gate, result.head], num_arrays_bytes=6 * num_bytes(pooled)),
        "loss": differentiated(lambda: [recipe.loss(model, encodings, {}).total], [], num_arrays_bytes=0),
    }


def differentiated(
    run: Callable[[], Sequence[Tensor]], modules: Sequence[nn.Module], *, num_arrays_bytes: int, vector_flops: float = 0
) -> Part:
    """Forward, then backward from a gradient of ones; parameters are read twice, and their gradients written."""
    parameters = [parameter for module in modules for parameter in module.parameters()]

    def run_and_differentiate() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.stack([output.sum() for output in run()]).sum().backward()  # type: ignore[no-untyped-call]

    return Part(
        run_and_differentiate, num_bytes=num_arrays_bytes + 3 * num_bytes(*parameters), vector_flops=vector_flops
    )


def update_parts(state: TrainingState) -> dict[str, Part]:
    """What a step does to the weights, in its parts."""
    model_bytes = num_bytes(*state.model.parameters())
    runs: dict[str, Callable[[], object]] = {
        "clip": lambda: torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1e9),
        "AdamW": state.optimizer.step,
        "moving average": lambda: update_average(state.averaged, state.model, decay=0.999),
    }
    return {name: Part(run, num_bytes=MODEL_BYTES_IN_STEP[name] * model_bytes) for name, run in runs.items()}


def update_weights(state: TrainingState) -> None:
    """As in the loop."""
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 0.5)
    state.optimizer.step()
    update_average(state.averaged, state.model, decay=0.999)


def leaf(tensor: Tensor) -> Tensor:
    """The values as something that gets a gradient of its own."""
    return tensor.detach().requires_grad_()


def report_parts(parts: dict[str, Part], seconds: dict[str, list[float]], *, rates: Rates) -> None:
    """A line for each part, and the JSON line."""
    print(
        f"{'':28}  {'median':>9}  {'lowest':>9}  {'share':>5}  {'GFLOP':>7}  {'MB':>6}  {'floor':>9}  times the floor"
    )
    whole, ratios = statistics.median(seconds[STEP]), {}
    for name, part in parts.items():
        gemm_flops = count_flops(part.run)
        floor = rates.floor(num_bytes=part.num_bytes, gemm_flops=gemm_flops, vector_flops=part.vector_flops)
        median = statistics.median(seconds[name])
        flops = (gemm_flops + part.vector_flops) / 1e9
        cells = f"{median * 1e3:6.1f} ms  {min(seconds[name]) * 1e3:6.1f} ms  {median / whole:5.0%}  {flops:7.2f}"
        ratios[name.partition(" (")[0].replace(" ", "_")] = median / floor if floor else 0.0
        times = f"{median / floor:5.1f}" if floor else "-"
        print(f"{name:28}  {cells}  {part.num_bytes / 1e6:6.0f}  {floor * 1e3:6.1f} ms  {times}")
    left = whole - sum(statistics.median(runs) for name, runs in seconds.items() if name != STEP)
    print(f"left over by the parts: {left * 1e3:.1f} ms")
    worst = max((name for name in ratios if name not in ("whole_step", "loss")), key=ratios.__getitem__)
    print(f"farthest from its floor: {worst}, {ratios[worst]:.1f} times")
    print_json("train_step", ratios=ratios, targets={"whole_step": TARGET})


if __name__ == "__main__":
    main()
