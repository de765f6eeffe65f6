"""How much longer is an epoch that runs the frozen backbones than one on cached features?

Two questions, each with both sides in one run:

1. The demo's backbones on small synthetic welds. One epoch of Causal-FiLM by the training loop itself, validation left
   out, on three sources of batches: resident features from the cache; the recordings, decoded and put through the
   backbones at every step, which is what training without a cache does; and prepared inputs kept in memory, so that
   only the backbones are left and nobody can blame the decoding.
2. The full-size architectures of preset v5 with random weights, which take as long as trained ones. Seconds a weld
   through each frozen backbone on prepared inputs, against seconds a weld of a training step of 32 on cached features.
   Needs 6 GB of disk for a while and 10 GB of memory; `--skip-full-size` leaves it out.

The online side is held to give the features that are in the cache before anything is measured.
"""

import argparse
import dataclasses
import resource
import statistics
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from harness import measure_in_turns, ratio_of_medians, report
from numpy.typing import NDArray
from torch import Tensor

from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor
from weldcache.extract.backbones.random_backbone import save_random_backbone
from weldcache.extract.backbones.spec import Family
from weldcache.extract.features.kind import Encoder, Prepared
from weldcache.extract.pipeline import extract
from weldcache.extract.request import load_features
from weldcache.extract.sides import num_workers
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.source import Sample
from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import SynthPlan, plan_for_size
from weldcache.settings import Settings, load_settings
from weldcache.train.data.batches import BatchSource, Order
from weldcache.train.data.features import FeatureReader, shapes_for
from weldcache.train.data.resident import ResidentFeatures, load_resident
from weldcache.train.loop import train_epochs
from weldcache.train.pipeline import measure
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.recipes.recipe import Trained, make_recipe
from weldcache.train.state import new_state
from weldcache.train.types import Batch, FeatureRequest
from weldcache.train.validation import ValidationResult

CPU = torch.device("cpu")
NUM_DEMO_WELDS = 64  # two steps of the preset's 32
DEMO_ROUNDS = 5
FULL_ROUNDS = 3
ENDLESS = 1_000_000  # epochs, so that training is never over by itself
HALF_PRECISION = 1e-3  # relative and absolute: what the cache rounds away

CACHED = "demo epoch, cached features"
ONLINE = "demo epoch, decoding + backbones"
PREPARED = "demo epoch, backbones alone"
STEP = "v5, training step a weld, cached"
VIDEO = "v5, V-JEPA 2 ViT-L a weld"
AUDIO = "v5, AST 14-14 a weld"
IMAGE_TRAINED_ON = "v5, DINOv3 ViT-H+ to block 21 a weld"
IMAGE_CACHED = "v5, DINOv3 ViT-H+ to block 32 a weld"

Modalities = Mapping[str, Prepared]


@dataclasses.dataclass(frozen=True)
class OnlineSource:
    """Batches whose features are computed at every step: `prepare` gives the backbones' inputs at some positions."""

    num_samples: int
    prepare: Callable[[Sequence[int]], Sequence[Modalities]]
    encoders: Mapping[str, Encoder]
    requests: Sequence[FeatureRequest]
    welds_at_once: int

    def __len__(self) -> int:
        return self.num_samples

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return CPU

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        """The batches of `order`, through the backbones in groups as large as extraction's."""
        requests = [request for request in self.requests if arrays is None or request.name in arrays]
        for samples in order:
            groups = [self._features(group.tolist(), requests) for group in torch.split(samples, self.welds_at_once)]
            yield Batch({name: torch.cat([group[name] for group in groups]) for name in groups[0]})

    def _features(self, chosen: Sequence[int], requests: Sequence[FeatureRequest]) -> dict[str, Tensor]:
        prepared, wanted = self.prepare(chosen), {request.feature_set for request in requests}
        features: dict[str, Mapping[str, Tensor]] = {}
        for name, encoder in self.encoders.items():
            features |= encoder.encode([item[name] for item in prepared], feature_sets=made_by(encoder) & wanted)
        return {request.name: features[request.feature_set][request.array].cpu() for request in requests}


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Decodes and prepares samples; welds of a group side by side, in threads, for the codecs let go of Python."""

    samples: Sequence[Sample]
    encoders: Mapping[str, Encoder]
    pool: ThreadPoolExecutor

    def __call__(self, chosen: Sequence[int]) -> Sequence[Modalities]:
        return list(self.pool.map(self._prepare, chosen))

    def _prepare(self, position: int) -> Modalities:
        return {name: encoder.reader(self.samples[position]) for name, encoder in self.encoders.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip-full-size", action="store_true", help="only the demo's backbones: about a minute")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cached_vs_online-") as folder:
        seconds = measure_demo(Path(folder) / "demo")
        ratios = {
            "demo_epoch_decoding_and_backbones": ratio_of_medians(seconds, slow=ONLINE, fast=CACHED),
            "demo_epoch_backbones_alone": ratio_of_medians(seconds, slow=PREPARED, fast=CACHED),
        }
        if not arguments.skip_full_size:
            seconds |= measure_full_size(Path(folder) / "full")
            ratios |= full_size_ratios(seconds)
    print(f"Peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")
    report("cached_vs_online", seconds=seconds, ratios=ratios, targets={})


def measure_demo(folder: Path) -> dict[str, list[float]]:
    """Seconds of an epoch on each source of batches."""
    plan = dataclasses.replace(plan_for_size("tiny"), train={"00": NUM_DEMO_WELDS}, val={}, test={})
    settings, samples = make_data(folder, plan=plan, preset="demo-random")
    extract(settings)
    store = FeatureStore.open(settings.cache.path)
    encoders, requests = loaded_encoders(settings), make_recipe(settings.recipe).needs().features
    with ThreadPoolExecutor(num_workers(settings.extract)) as pool:
        decode = Decoder(samples, encoders, pool)
        kept = decode(range(len(samples)))
        cached = resident_features(store, np.arange(len(samples)), settings=settings)
        online, prepared = (
            OnlineSource(len(samples), prepare, encoders, requests, store.batching["group_size"])
            for prepare in (decode, lambda chosen: [kept[position] for position in chosen])
        )
        require_same_batches(online, cached)
        sources: Mapping[str, BatchSource] = {CACHED: cached, ONLINE: online, PREPARED: prepared}
        epochs = {
            name: epoch_runner(store, source, measured=cached, settings=settings) for name, source in sources.items()
        }
        return measure_in_turns(epochs, num_rounds=DEMO_ROUNDS)


def full_size_ratios(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """All backbones of a weld, run to the deepest block that training uses or that is cached, against a step."""
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    both = medians[VIDEO] + medians[AUDIO]
    return {
        "v5_weld_backbones_to_block_21": (both + medians[IMAGE_TRAINED_ON]) / medians[STEP],
        "v5_weld_backbones_to_block_32": (both + medians[IMAGE_CACHED]) / medians[STEP],
    }


def measure_full_size(folder: Path) -> dict[str, list[float]]:
    """Seconds a weld through each backbone, and in a training step on cached features.

    One backbone at a time is in memory; the training step takes its turn beside each of them.
    """
    plan = dataclasses.replace(plan_for_size("full"), train={"00": 1}, val={}, test={}, duplicate_runs=0)
    settings, samples = make_data(folder, plan=plan, preset="v5", overrides=random_models(folder / "models"))
    recipe = settings.recipe
    assert isinstance(recipe, CausalFilmSettings)
    for name in settings.asked_features:
        extract(changed(settings, extract={"features": (name,), "workers": 0}))
    store = FeatureStore.open(settings.cache.path)
    batch_size = settings.train.batch_size
    cached = resident_features(store, np.zeros(batch_size, dtype=np.int64), settings=settings)
    step = epoch_runner(store, cached, measured=cached, settings=settings)  # an epoch of one batch
    step()
    seconds: dict[str, list[float]] = {STEP: []}
    for name, modality, image in (
        (VIDEO, "video", {}),
        (AUDIO, "audio", {}),
        (IMAGE_TRAINED_ON, "image", {"blocks": recipe.blocks}),  # what training without a cache would run
        (IMAGE_CACHED, "image", {}),  # what extraction runs, for any choice of blocks later
    ):
        features = {**settings.features, "image": settings.features["image"].model_copy(update=image)}
        asked = changed(settings, extract={"features": (modality,)}).model_copy(update={"features": features})
        encoder = loaded_encoders(asked)[modality]
        prepared = encoder.reader(samples[0])
        require_cached(store, encoder, prepared)
        encode = partial(encoder.encode, [prepared], feature_sets=made_by(encoder))
        turns = measure_in_turns({name: encode, STEP: step}, num_rounds=FULL_ROUNDS, num_warm_ups=0)
        seconds[name] = turns[name]
        seconds[STEP] += [duration / batch_size for duration in turns[STEP]]
        del encoder
    return seconds


def loaded_encoders(settings: Settings) -> dict[str, Encoder]:
    """The encoders with their weights."""
    encoders = load_features(settings, settings.asked_features, open_source(settings.data)).encoders
    for encoder in encoders.values():
        encoder.load()
    return encoders


def made_by(encoder: Encoder) -> frozenset[str]:
    """Names of all feature sets of an encoder."""
    return frozenset(spec.name for spec in encoder.specs)


def make_data(
    folder: Path, *, plan: SynthPlan, preset: str, overrides: Sequence[str] = ()
) -> tuple[Settings, Sequence[Sample]]:
    """Synthetic welds in `folder`, the settings for them, and the welds."""
    generate(folder / "data", plan=plan, workers=2)
    paths = [f"data.root={folder / 'data'}", f"cache.path={folder / 'features.zarr'}"]
    loaded = load_settings(preset, overrides=[*paths, "train.monitor=val_loss", *overrides], folder=folder)
    settings = changed(
        loaded,
        train={"device": "cpu", "epochs": ENDLESS, "patience": ENDLESS},
        extract={"device": "cpu"},
        recipe={"missing": "leave_out"},  # all welds are whole, and so is every batch of the online side
    )
    return settings, open_source(settings.data).samples()


def random_models(folder: Path) -> list[str]:
    """The published architectures with random weights in `folder`, as settings that name them."""
    families: Mapping[str, Family] = {"video": "vjepa2", "audio": "ast", "image": "dinov3", "text": "clip_text"}
    folders = {
        section: save_random_backbone(folder / family, family=family, scale="full", seed=0)
        for section, family in families.items()
    }
    return [f"{section}.model={model}" for section, model in folders.items()]


def changed(settings: Settings, **sections: Mapping[str, object]) -> Settings:
    """The settings with other values in some sections."""
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in sections.items()}
    )


def resident_features(store: FeatureStore, rows: NDArray[np.int64], *, settings: Settings) -> ResidentFeatures:
    """The rows as training has them."""
    reader = FeatureReader(store, make_recipe(settings.recipe).needs().features)
    return load_resident(reader, rows, device=CPU)


def epoch_runner(
    store: FeatureStore, source: BatchSource, *, measured: ResidentFeatures, settings: Settings
) -> Callable[[], object]:
    """A function that trains one more epoch on `source` each time it is called, by the real training loop."""
    recipe = make_recipe(settings.recipe)
    assert isinstance(recipe, Trained)
    model = recipe.build(shapes_for(store, recipe))
    measure(recipe, model, measured, store=store)
    epochs = train_epochs(
        recipe,
        state=new_state(model, settings=settings.train),
        samples=source,
        validate=lambda _: ValidationResult({"val_loss": 0.0, "val_auroc": None}, spread={}),
        settings=settings.train,
        on_batch=lambda _: None,
    )
    return lambda: next(epochs)


def require_same_batches(online: BatchSource, cached: BatchSource) -> None:
    """Stop unless the online side computes what the cache holds, to the cache's half precision."""
    everyone = [torch.arange(len(online))]
    (expected,), (computed,) = cached.batches(everyone), online.batches(everyone)
    for name, found in computed.features.items():
        torch.testing.assert_close(
            found, expected.features[name].to(found.dtype), rtol=HALF_PRECISION, atol=HALF_PRECISION
        )


def require_cached(store: FeatureStore, encoder: Encoder, prepared: Prepared) -> None:
    """Stop unless the encoder gives the features that the store holds of its one weld."""
    for feature_set, arrays in encoder.encode([prepared], feature_sets=made_by(encoder)).items():
        for name, found in arrays.items():
            held = read_tensor(store, f"{feature_set}/{name}", [0])
            torch.testing.assert_close(found, held.to(found.dtype), rtol=HALF_PRECISION, atol=HALF_PRECISION)


if __name__ == "__main__":
    main()
