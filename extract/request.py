"""What settings ask of stage one: samples, encoders (descriptions alone, no weights yet), the text, and the plan."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..cache.arrays import FeatureSetSpec
from ..cache.description import USUAL_NOUN
from ..cache.following import following
from ..cache.index import Index, index_with
from ..cache.splits import LEFT_OUT
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.targets import LABEL, NORMAL, TargetSpec, target_of
from ..configs.device import resolve_device
from ..configs.place import BucketUrl
from ..documents import Json
from ..errors import NotFoundError
from ..progress import say
from ..settings import Settings
from ..wording import count_of
from .backbones.load import BackboneLoader
from .backbones.spec import Placement
from .features.kind import Constant, Encoder, Tools
from .features.settings import StreamSettings
from .plan import ExtractPlan, cut_groups, plan_extraction
from .pool.decoder import Limits
from .settings import KINDS
from .sources.open import open_source
from .sources.source import SPLITS, Sample, Source

DEMO_FOLDER = "demo_backbones"  # beside the cache

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Request:
    """What is asked for. `samples` are those of the whole data set, in its order; `splits` those to extract."""

    root: Path
    samples: Sequence[Sample]
    splits: Sequence[str]
    encoders: Mapping[str, Encoder]  # by the feature's name
    constants: Mapping[str, Constant]  # by the constant's name in the store
    limits: Limits  # of decoding any of them
    targets: Sequence[TargetSpec] = ()  # what is declared of the samples
    noun: str = USUAL_NOUN  # what one of them is called
    stale: Mapping[str, Collection[int]] = field(default_factory=dict)  # feature set -> rows that count as lacking

    @cached_property
    def index(self) -> Index:
        """The rows that a store of this data set has."""
        names = list(self.samples[0].attributes)
        keys = [sample.key for sample in self.samples]
        return index_with(
            keys=keys,
            parts=[sample.split for sample in self.samples],
            groups=[sample.group for sample in self.samples],
            targets={
                spec.name: target_of(spec, [sample.targets.get(spec.name) for sample in self.samples], keys=keys)
                for spec in self.targets
            },
            attributes={name: [sample.attributes[name] for sample in self.samples] for name in names},
        )

    @property
    def without_normals(self) -> list[str]:
        """Splits that a training on normal samples needs some of and that have none; nothing without labels."""
        if LABEL.name not in {spec.name for spec in self.targets}:
            return []
        normal = {sample.split for sample in self.samples if sample.targets.get(LABEL.name) == NORMAL}
        return [split for split in ("train", "val") if split not in normal]

    @property
    def streams(self) -> dict[str, str]:
        """What of a sample each feature is made from."""
        return {name: encoder.reader.stream for name, encoder in self.encoders.items()}

    @property
    def stream_of(self) -> dict[str, str]:
        """What of a sample each feature set is made from."""
        return {spec.name: encoder.reader.stream for encoder in self.encoders.values() for spec in encoder.specs}

    @property
    def specs(self) -> dict[str, Sequence[FeatureSetSpec]]:
        """The feature sets asked for, by the feature that they are made from."""
        return {name: encoder.specs for name, encoder in self.encoders.items()}

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the feature sets asked for."""
        return tuple(spec.name for encoder in self.encoders.values() for spec in encoder.specs)

    def manifest(self) -> dict[str, dict[str, Mapping[str, Json]]]:
        """What a store that holds all of this says of it."""
        specs = [spec for encoder in self.encoders.values() for spec in encoder.specs]
        return {
            "features": {spec.name: spec.to_manifest() for spec in specs},
            "constants": {name: {"made_by": constant.made_by} for name, constant in self.constants.items()},
        }

    def as_held(self, held: Index) -> "Request":
        """The same of a store's rows, which stay in the part that the store has them in, if that part can be drawn.

        Where the data set says no split, what is drawn by other settings, or was by a former version, moves no sample
        that something may have been trained on; and a new one joins its group.
        """
        if not any(sample.drawn_from for sample in self.samples):
            return self
        part_of = dict(zip(held.keys.tolist(), held.parts.tolist(), strict=True))
        listed = [(sample, part_of.get(sample.key, LEFT_OUT)) for sample in self.samples]
        part_of_group = {sample.group: part for sample, part in listed if part != LEFT_OUT}
        samples = []
        for sample, held_part in listed:
            part = part_of_group.get(sample.group, sample.split) if held_part == LEFT_OUT else held_part
            samples.append(replace(sample, split=part) if part in sample.drawn_from else sample)
        if moved := sum(now.split != before.split for now, before in zip(samples, self.samples, strict=True)):
            say(
                f"{count_of(moved, self.noun)} would be drawn into another part of the split now. Each stays in that "
                "in which the cache has it, or others of its group; `weldcache split NAME` draws a split anew."
            )
        return replace(self, samples=samples)

    def plan(self, store: FeatureStore | None, *, group_size: int) -> ExtractPlan:
        """What of it `store` lacks: everything where there is none yet.

        Raises:
            FingerprintError: if the store says something else of a sample than the data set.
        """
        index = self.index if store is None else following(store.index, self.index)
        held = () if store is None else store.feature_sets
        statuses = {name: np.zeros(len(index), dtype=np.uint8) for name in self.feature_sets}
        if store is not None:
            for name in set(held) & set(statuses):
                statuses[name][: len(store.index)] = store.status(name)
                statuses[name][list(self.stale.get(name, ()))] = Status.MISSING
        return plan_extraction(
            self.cut(group_size),
            row_of=index.row_of(),
            statuses=statuses,
            feature_sets=self.specs,
        )

    @property
    def asked_samples(self) -> list[Sample]:
        """The samples of the splits to extract."""
        return [sample for sample in self.samples if sample.split in self.splits]

    def cut(self, group_size: int) -> list[Sequence[Sample]]:
        """All groups of the samples asked for, whatever of them is done."""
        return cut_groups(self.samples, splits=self.splits, group_size=group_size)


def make_request(settings: Settings, *, split: str, needs_files: bool = False) -> Request:
    """Look at the data set and at the backbones' descriptions; `split` is train, val, test or all.

    With `needs_files`, a data set of which nothing is there is refused, before a store or demo backbones are made for
    it.

    Raises:
        NotFoundError: if there is no data set, it has no such split, or not one file of it is there.
        BackboneError: if a backbone cannot be had, or does not offer what is asked.
    """
    source = open_source(settings.data, written=own_folders(settings))
    samples = source.samples()
    splits = SPLITS if split == "all" else (split,)
    asked = [sample for sample in samples if sample.split in splits]
    if not asked:
        raise NotFoundError(f"{settings.data.root} has no {source.noun}s in the split {split}.")
    streams = {
        name: feature.stream
        for name in settings.asked_features
        if isinstance(feature := settings.features[name], StreamSettings)
    }
    if needs_files:
        _require_files(settings.data.root, asked, list(streams.values()), noun=source.noun)
    loaded = load_features(settings, _worth_making(settings, samples, streams), source)
    return Request(
        root=settings.data.root,
        samples=samples,
        splits=splits,
        encoders=loaded.encoders,
        constants={constant.name: constant for constant in loaded.constants.values()},
        limits=Limits.of(settings.extract),
        targets=source.targets(),
        noun=source.noun,
    )


def own_folders(settings: Settings) -> tuple[Path, ...]:
    """The folders that weldcache fills itself, which may lie in the data set's."""
    store = () if isinstance(settings.cache.path, BucketUrl) else (settings.cache.path,)
    return (*store, settings.project / DEMO_FOLDER, settings.runs.folder)


def _worth_making(settings: Settings, samples: Sequence[Sample], streams: Mapping[str, str]) -> list[str]:
    """The features asked for; where nobody said which, without those of streams that this data set does not have: a
    folder of pictures needs no backbone for films."""
    if settings.extract.features is not None:
        return list(settings.extract.features)
    given = {stream for sample in samples for stream in (*sample.files, *sample.vectors, *sample.absent)}
    return [name for name in settings.asked_features if name not in streams or streams[name] in given]


def _require_files(root: Path, samples: Sequence[Sample], streams: Sequence[str], *, noun: str) -> None:
    if not streams or any(sample.why_absent(stream) is None for sample in samples for stream in streams):
        return
    why = samples[0].why_absent(streams[0])
    raise NotFoundError(
        f"Not one file is there of the {count_of(len(samples), noun)} that {root} lists (the first: {why}). Check "
        "data.root, and whether the files are in it."
    )


@dataclass(frozen=True)
class LoadedFeatures:
    """What makes the features asked for, by name: encoders go over samples, constants belong to the whole store."""

    encoders: dict[str, Encoder]
    constants: dict[str, Constant]


def load_features(settings: Settings, names: Sequence[str], source: Source) -> LoadedFeatures:
    """What makes each of the features `names` of the data set.

    Raises:
        BackboneError: if a backbone cannot be had or does not offer what is asked.
        NotFoundError: if neither settings nor data set tell what a feature holds.
    """
    tools = Tools(_backbone_loader(settings), settings.cache.dtype, source)
    made = {}
    for name in names:
        section = settings.features[name]
        made[name] = KINDS.code(section.kind)(name, section, tools)
    return LoadedFeatures(
        encoders={name: one for name, one in made.items() if isinstance(one, Encoder)},
        constants={name: one for name, one in made.items() if isinstance(one, Constant)},
    )


def _backbone_loader(settings: Settings) -> BackboneLoader:
    """The loader for these settings' device, arithmetic and demo models."""
    device = resolve_device(settings.extract.device, setting="extract.device")
    automatic = torch.bfloat16 if device.type == "cuda" else torch.float32
    return BackboneLoader(
        placement=Placement(device=device, dtype=_PRECISIONS.get(settings.extract.precision, automatic)),
        demo_folder=settings.project / DEMO_FOLDER,
        demo_seed=settings.extract.demo_seed,
    )
