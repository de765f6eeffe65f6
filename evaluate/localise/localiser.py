"""From samples to maps of their scores: the model is asked by place, and a store, or who holds them in memory, where
the places lie."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import nn

from ...cache.status import SourceFile, Status
from ...cache.store import FeatureStore
from ...errors import DecodeError
from ...extract.settings import DataSettings
from ...train.attribution import place_scores
from ...train.data.batches import BatchSource
from ...train.data.features import Rows
from ...train.runs.trained_run import TrainedRun
from ...train.scoring import passes
from ..scoring import Scorer, hidden_from
from .maps import PictureMap, SampleMaps, TimeMap
from .places import PictureGrid, TimeAxis

Places = PictureGrid | TimeAxis
_Scores = Float32[np.ndarray, "*places"]
_ROWS_LOOKED_FOR = 8  # of whose files one is enough: some may have been taken away


class Held(Protocol):
    """What is known of samples that are mapped, each by its place among them."""

    def has(self, feature_set: str, place: int) -> bool:
        """Whether the sample has this feature set."""

    def files(self, feature_set: str, place: int) -> Sequence[SourceFile]:
        """What the feature set was made from, which the sample has."""

    def read(self, array: str, place: int) -> NDArray[Any]:
        """The array `<set>/<name>` of the sample, which has it."""


def places_of(run: TrainedRun) -> Mapping[str, Places]:
    """The arrays that a run's model looks at of which it is known where they lie; those that it is never shown are not
    among them.

    Raises:
        TrainingError: as `TrainedRun.feature_sets`.
    """
    sets, hidden = run.feature_sets, hidden_from(run)
    found: dict[str, Places] = {}
    for request in run.recipe.needs().features:
        told = sets.get(request.feature_set)
        spec = None if told is None or request.feature_set in hidden else told.specs.get(request.array)
        if told is not None and spec is not None:
            decoding: Any = told.made_by.get("decoding", {})
            ragged = f"{request.array}_length" in told.specs
            place = PictureGrid.of(spec, decoding) or TimeAxis.of(spec, decoding, ragged=ragged)
            if place is not None:
                found[request.name] = place
    return found


def sample_maps(
    run: TrainedRun,
    model: nn.Module,
    samples: BatchSource,
    *,
    places: Mapping[str, Places],
    held: Held,
    root: Path,
) -> Iterator[SampleMaps]:
    """The maps of samples by a model of the run, in their order; memory holds those of one batch.

    `places` are those of `places_of` that maps are asked of, `held` is what is known of the samples, and `root` the
    folder in which their pictures and films lie.
    """
    done = 0
    for batch in passes(samples, batch_size=run.settings.train.batch_size):
        scores = place_scores(
            run.recipe, model, batch, arrays=list(places), precision=run.precision, without=hidden_from(run)
        )
        by_array = {name: of_array.cpu().numpy() for name, of_array in scores.items()}
        for place in range(len(batch)):
            each = {
                name: (places[name], values[place])
                for name, values in by_array.items()
                if held.has(name.rpartition("/")[0], done)
            }
            yield _OfSample(held, done, root).maps(each)
            done += 1


@dataclass(frozen=True, eq=False)
class _OfSample:
    """Draws the maps of the sample at `place` among those that are held."""

    held: Held
    place: int
    root: Path

    def maps(self, scores: Mapping[str, tuple[Places, _Scores]]) -> SampleMaps:
        """By array its places and their scores. Blocks of one feature have one grid, and what they add to a score adds
        up."""
        pictures: dict[tuple[str, int, PictureGrid], list[_Scores]] = defaultdict(list)
        times: list[TimeMap] = []
        names: dict[tuple[str, int], str] = {}
        for array, (place, values) in scores.items():
            feature, feature_set = array.partition("/")[0], array.rpartition("/")[0]
            # Everything that reads files of a map joins these to a folder, so no path that leads out becomes one.
            files = self.held.files(feature_set, self.place)
            paths = [file.path for file in files if file.below(self.root) is not None]
            if isinstance(place, TimeAxis):
                times += self._over_time(feature_set, place, values, paths)
                continue
            for view, path in place.files(paths).items():
                pictures[feature, view, place].append(values[view].reshape(place.side, place.side))
                names[feature, view] = path
        drawn = (
            self._on_picture(feature, names[feature, view], view, grid, np.stack(parts).sum(axis=0))
            for (feature, view, grid), parts in pictures.items()
        )
        return SampleMaps(tuple(each for each in drawn if each is not None), tuple(times))

    def _on_picture(
        self, feature: str, file: str, view: int, grid: PictureGrid, scores: Float32[np.ndarray, "rows columns"]
    ) -> PictureMap | None:
        if not np.isfinite(scores).all():
            return None  # of a view that could not be read
        try:
            return PictureMap(feature, file, view, scores, grid.box(self.root / file))
        except DecodeError:
            return None

    def _over_time(
        self, feature_set: str, axis: TimeAxis, values: Float32[np.ndarray, " steps"], paths: Sequence[str]
    ) -> Iterator[TimeMap]:
        def read(name: str) -> NDArray[Any]:
            return self.held.read(f"{feature_set}/{name}", self.place)

        real = values[: axis.length(read)]
        seconds = axis.seconds(read, files=[self.root / path for path in paths])
        if seconds is not None and np.isfinite(real).all():
            yield TimeMap(feature_set.partition("/")[0], seconds, real)


@dataclass(frozen=True, eq=False)
class Localiser:
    """Maps of the samples of a store, by the model of a run.

    Attributes:
        root: the data set's folder, in which its pictures and films still lie.
        over_time: whether there are maps of recordings, for each of which a film's header is read.
    """

    scorer: Scorer
    root: Path
    over_time: bool = True

    @cached_property
    def places(self) -> Mapping[str, Places]:
        """Where the scores of its run lie, by array, as `places_of` says: of the arrays that it makes maps of."""
        found = places_of(self.scorer.run)
        return {name: place for name, place in found.items() if self.over_time or isinstance(place, PictureGrid)}

    @property
    def grids(self) -> Mapping[str, PictureGrid]:
        """The patches of pictures among its `places`, by array."""
        return {name: place for name, place in self.places.items() if isinstance(place, PictureGrid)}

    def __call__(self, rows: Rows) -> Iterator[SampleMaps]:
        """The maps of each of `rows`, in their order; memory holds those of one batch."""
        if not self.places or not len(rows):
            yield from (SampleMaps() for _ in rows)
            return
        scorer = self.scorer
        held = _Stored(scorer.store, rows, sets={name.rpartition("/")[0] for name in self.places})
        model, samples = scorer.models["averaged"], scorer.samples(rows)
        yield from sample_maps(scorer.run, model, samples, places=self.places, held=held, root=self.root)


class _Stored:
    """What a store knows of rows: a `Held`."""

    def __init__(self, store: FeatureStore, rows: Rows, *, sets: Collection[str]) -> None:
        self._store = store
        self._rows = rows
        self._has = {name: store.status(name)[rows] == Status.COMPLETE for name in sets}
        self._files = {name: store.sources(name, rows) for name in sets}

    def has(self, feature_set: str, place: int) -> bool:
        return bool(self._has[feature_set][place])

    def files(self, feature_set: str, place: int) -> Sequence[SourceFile]:
        return self._files[feature_set][place]

    def read(self, array: str, place: int) -> NDArray[Any]:
        return np.asarray(self._store.read(array, [int(self._rows[place])])[0])


def localiser_of(scorer: Scorer, *, data: Sequence[DataSettings]) -> tuple[Localiser, DataSettings] | None:
    """Maps by a run, and in the first of these data sets its pictures and films lie; None where they are in none."""
    folder = folder_of_files(scorer, folders=[each.root for each in data])
    return next(((Localiser(scorer, each.root), each) for each in data if each.root == folder), None)


def folder_of_files(scorer: Scorer, *, folders: Sequence[Path]) -> Path | None:
    """The first of these folders in which files lie that features were made from, those that the model looks at before
    others; None for none of them."""
    store = scorer.store
    for name in dict.fromkeys((*scorer.run.recipe.needs().feature_sets, *store.feature_sets)):
        rows = np.flatnonzero(store.status(name) == Status.COMPLETE)[:_ROWS_LOOKED_FOR]
        for files in store.sources(name, rows):
            for folder in folders:
                if any((path := file.below(folder)) is not None and path.is_file() for file in files):
                    return folder
    return None
