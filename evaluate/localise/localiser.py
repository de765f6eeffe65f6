"""From rows of a store to maps of their scores: the model is asked by place, and the store where the places lie."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ...cache.status import SourceFile, Status
from ...cache.store import FeatureStore
from ...errors import DecodeError
from ...extract.settings import DataSettings
from ...train.attribution import place_scores
from ...train.data.features import Rows
from ...train.scoring import passes
from ..scoring import Scorer
from .maps import PictureMap, SampleMaps, TimeMap
from .places import PictureGrid, TimeAxis

Place = PictureGrid | TimeAxis
_Scores = Float32[np.ndarray, "*places"]
_ROWS_LOOKED_FOR = 8  # of whose files one is enough: some may have been taken away


@dataclass(frozen=True, eq=False)
class Localiser:
    """Maps of the samples of a store, by the model of a run.

    Attributes:
        root: the data set's folder, in which its pictures and films still lie.
    """

    scorer: Scorer
    root: Path

    @cached_property
    def places(self) -> Mapping[str, Place]:
        """The arrays that the model looks at of which it is known where they lie; those that it is never shown are not
        among them."""
        store = self.scorer.store
        found: dict[str, Place] = {}
        for request in self.scorer.run.recipe.needs().features:
            if request.array in store.arrays(request.feature_set) and request.feature_set not in self.scorer.hidden:
                decoding = store.manifest["features"][request.feature_set]["made_by"].get("decoding", {})
                spec = store.array_spec(request.name)
                place = PictureGrid.of(spec, decoding) or TimeAxis.of(request.feature_set, spec, decoding)
                if place is not None:
                    found[request.name] = place
        return found

    @property
    def grids(self) -> Mapping[str, PictureGrid]:
        """Those of the places that are patches of pictures."""
        return {name: place for name, place in self.places.items() if isinstance(place, PictureGrid)}

    def __call__(self, rows: Rows) -> Iterator[SampleMaps]:
        """The maps of each of `rows`, in their order; memory holds those of one batch."""
        if not self.places or not len(rows):
            yield from (SampleMaps() for _ in rows)
            return
        scorer, done = self.scorer, 0
        known = {name: _Known(scorer.store, name.rpartition("/")[0], rows) for name in self.places}
        for batch in passes(scorer.samples(rows), batch_size=scorer.run.settings.train.batch_size):
            scores = place_scores(
                scorer.run.recipe,
                scorer.models["averaged"],
                batch,
                arrays=list(self.places),
                precision=scorer.run.precision,
                without=scorer.hidden,
            )
            by_array = {name: of_array.cpu().numpy() for name, of_array in scores.items()}
            for place in range(len(batch)):
                each = {name: values[place] for name, values in by_array.items() if known[name].held[done]}
                yield self._maps(int(rows[done]), each, {name: known[name].files[done] for name in each})
                done += 1

    def _maps(self, row: int, scores: Mapping[str, _Scores], files: Mapping[str, Sequence[SourceFile]]) -> SampleMaps:
        """Blocks of one feature have one grid, and what they add to a score adds up."""
        pictures: dict[tuple[str, int, PictureGrid], list[_Scores]] = defaultdict(list)
        times: list[TimeMap] = []
        names: dict[tuple[str, int], str] = {}
        for array, values in scores.items():
            feature, place = array.partition("/")[0], self.places[array]
            # Everything that reads files of a map joins these to a folder, so no path that leads out becomes one.
            paths = [file.path for file in files[array] if file.below(self.root) is not None]
            if isinstance(place, TimeAxis):
                times += self._over_time(row, array, place, values, paths)
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
        self, row: int, array: str, axis: TimeAxis, values: Float32[np.ndarray, " steps"], paths: Sequence[str]
    ) -> Iterator[TimeMap]:
        store, lengths = self.scorer.store, f"{array}_length"
        length = len(values)
        if lengths.rpartition("/")[2] in store.arrays(axis.feature_set):
            length = int(store.read(lengths, [row])[0])
        seconds = axis.seconds(store, row, length=length, files=[self.root / path for path in paths])
        if seconds is not None and np.isfinite(values[:length]).all():
            yield TimeMap(array.partition("/")[0], seconds, values[:length])


class _Known:
    """What a store knows of rows in a feature set: which have it, and the files that they were made from."""

    def __init__(self, store: FeatureStore, feature_set: str, rows: Rows) -> None:
        self.held = store.status(feature_set)[rows] == Status.COMPLETE
        self.files = store.sources(feature_set, rows)


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
