"""New samples, in no store and without a label, scored by a run: files -> features in memory -> model -> calibration.

All that is needed beside the samples is the run's folder and its backbones. What a run was trained on is the law: files
are decoded and put through the backbones as its manifest says, or refused.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...cache.arrays import ArraySpec
from ...cache.index import Index, index_with
from ...cache.status import SourceFile, Status
from ...cache.tensors import TORCH_TYPES
from ...configs.device import resolve_device
from ...errors import SettingsError
from ...extract.features.settings import PicturesSettings
from ...extract.in_memory import MemoryExtraction, MemoryRow
from ...extract.sources.new import NewSamples
from ...extract.sources.source import Sample
from ...progress import say
from ...settings import Settings
from ...train.data.batches import BatchSource
from ...train.data.resident import ResidentFeatures
from ...train.data.samples import who_lacks
from ...train.recipes.recipe import MEMBERS, Joined
from ...train.runs.trained_run import TrainedRun
from ...train.types import Batch, Needs, mapped
from ...wording import listed
from ..judge import Calibration, Judge, Told, judge_of
from ..judged_rows import JudgedRows
from ..judging import kept_calibration
from ..localise.localiser import places_of, sample_maps
from ..localise.maps import SampleMaps
from ..scores import score_table
from ..scoring import AVERAGED, Models, Scored, Scores, Way, predicted_outputs, score_in_ways
from .features import encoders_of

_NO_SPLIT = ""
_NO_NUMBER = "the model's score of it is not a finite number"


@dataclass(frozen=True)
class ScoredSample:
    """One new sample.

    Attributes:
        columns: what the run's judge tells of it, by heading; nothing where it could not be scored.
        alarm: whether somebody should look at it.
        problem: why it could not be scored; "" where it was.
        notes: what it lacks, and what of its files was not used, in words.
        maps: where it is strange; none where that was not asked for.
    """

    sample: Sample
    columns: Mapping[str, str | float | int | None]
    alarm: bool
    problem: str
    notes: tuple[str, ...]
    maps: SampleMaps


class NewSampleScorer:
    """Scores new samples by a run. Use as a context manager: its decode processes end with it.

    Nothing is loaded before the first sample comes, but what a run and its backbones say of themselves is checked.
    """

    def __init__(
        self,
        run: TrainedRun,
        found: NewSamples,
        *,
        settings: Settings,
        at_most: int | None = None,
        with_maps: bool = False,
    ) -> None:
        """`found` are the samples, or the folder that they will come to, `at_most` so many of them (None: nobody
        knows); `settings` are the run's, or others that make the same features on this machine.

        Raises:
            SettingsError: if the settings would judge otherwise than the run was calibrated.
            NotFoundError: if they do not say how a feature is made that the run needs.
            FingerprintError: if they make it otherwise than that which the run was trained on.
            BackboneError: if a backbone cannot be had.
            TrainingError: if the run's manifest or calibration is damaged, or the calibration of another run.
        """
        _require_same_judging(run, settings)
        self.run = run
        self.judge: Judge[Any] = judge_of(run, run.settings.evaluate)
        self.calibration = calibration_for(self.judge, run)
        self._needs = run.recipe.needs()
        self._shown = frozenset(self._needs.sets_shown(run.untrained))
        device = resolve_device(settings.train.device, setting="train.device")
        self._models: Models = {"averaged": run.model("averaged", device=device)}
        self._device = device
        self._hidden = {
            modality: Way("averaged", frozenset(sets))
            for modality, sets in self._needs.dispensable.items()
            if self.judge.of_scores and modality not in run.untrained
        }
        encoders = encoders_of(run, found, self._shown, settings=settings)
        self._num_views = {
            section.stream: section.num_views
            for name in encoders
            if isinstance(section := settings.features[name], PicturesSettings)
        }
        self._arrays = {name: told.specs for name, told in run.feature_sets.items()}
        self._root = found.root
        self._with_maps = with_maps
        self._extraction = MemoryExtraction(
            encoders,
            wanted=self._shown,
            settings=settings,
            root=found.root,
            at_most=at_most,
        )

    def __enter__(self) -> "NewSampleScorer":
        self._extraction.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._extraction.__exit__(kind, error, trace)

    @property
    def streams(self) -> Mapping[str, int]:
        """The streams that the run looks at, with how many files of each a sample has that lacks nothing."""
        return {stream: self._num_views.get(stream, 1) for stream in self._extraction.streams}

    def __call__(self, samples: Sequence[Sample]) -> Iterator[ScoredSample]:
        """The samples in their order, as soon as a batch of the model is full.

        Grouped like the rows of a split they get, on a CPU, the scores that `eval` gives these, to the last bit.

        Raises:
            Exception: as `MemoryExtraction.rows`.
        """
        size, waiting = self.run.settings.train.batch_size, list[tuple[MemoryRow, str]]()
        for group in self._extraction.rows(samples):
            waiting += zip(group, self._problems(group), strict=True)
            while len(usable := [place for place, (_, problem) in enumerate(waiting) if not problem]) >= size:
                batch = waiting[: usable[size - 1] + 1]
                waiting = waiting[len(batch) :]
                yield from self._scored(batch)
        yield from self._scored(waiting)

    def _problems(self, rows: Sequence[MemoryRow]) -> list[str]:
        """Why each row cannot be scored; "" where it can."""
        lacking, _ = who_lacks(self._needs, self._statuses(rows), untrained=self.run.untrained)
        return [
            "; ".join(
                dict.fromkeys(row.problems[name] for name, mask in lacking.items() if mask[place])  # a set of several
            )
            for place, row in enumerate(rows)
        ]

    def _statuses(self, rows: Sequence[MemoryRow]) -> dict[str, NDArray[np.uint8]]:
        return {name: np.array([row.statuses[name] for row in rows], dtype=np.uint8) for name in sorted(self._shown)}

    def _scored(self, rows: Sequence[tuple[MemoryRow, str]]) -> Iterator[ScoredSample]:
        """Score the rows that can be as one batch, and give all in their order."""
        usable = [row for row, problem in rows if not problem]
        told, maps = Told({}, []), iter([SampleMaps() for _ in usable])
        if usable:
            samples = ResidentFeatures(
                mapped(partial(Tensor.to, device=self._device), _batch_of(usable, self._needs, self._arrays))
            )
            scores = score_in_ways(self.run, self._models, samples, [AVERAGED, *self._hidden.values()])
            broken = ~np.isfinite(scores[AVERAGED])
            if broken.any():  # which costs the others nothing, but that they are scored again without it
                spoiled = iter(broken.tolist())
                yield from self._scored(
                    [(row, problem or (_NO_NUMBER if next(spoiled) else "")) for row, problem in rows]
                )
                return
            told = self._told(usable, samples, scores)
            if self._with_maps:
                model, held = self._models["averaged"], _HeldInMemory(usable)
                maps = sample_maps(self.run, model, samples, places=places_of(self.run), held=held, root=self._root)
        columns = [{name: values[place] for name, values in told.columns.items()} for place in range(len(usable))]
        scored = zip(columns, told.alarms, maps, strict=True)
        for row, problem in rows:
            if problem:
                yield ScoredSample(row.sample, {}, False, problem, row.notes, SampleMaps())
                continue
            of_row, alarm, of_maps = next(scored)
            notes = (*dict.fromkeys(row.problems.values()), *row.notes)
            yield ScoredSample(row.sample, of_row, alarm, "", notes, of_maps)

    def _told(self, rows: Sequence[MemoryRow], samples: BatchSource, scores: Mapping[Way, Scores]) -> Told:
        run, needs = self.run, self._needs
        members = (MEMBERS,) if self.judge.of_scores and isinstance(run.recipe, Joined) else ()
        names = (*self.judge.outputs, *members)
        statuses = self._statuses(rows)
        _, absent = who_lacks(needs, statuses, untrained=run.untrained)
        optional = sorted(self._shown & set(needs.optional))
        lacking_sets = [
            frozenset(name for name in optional if statuses[name][place] != Status.COMPLETE)
            for place in range(len(rows))
        ]
        scored = Scored(
            split=_NO_SPLIT,
            rows=JudgedRows(np.arange(len(rows))),
            table=score_table(
                _index_of(rows),
                scores=scores[AVERAGED],
                raw_scores=None,
                lacks=["+".join(name for name, mask in absent.items() if mask[place]) for place in range(len(rows))],
            ),
            ways=scores,
            hidden=self._hidden,
            lacking_sets=lacking_sets,
            lacking={name: mask for name, mask in absent.items() if mask.any()},
            outputs=predicted_outputs(run, self._models, samples, names) if names else {},
        )
        return self.judge.tell(scored, self.calibration, run=run)


@dataclass(frozen=True, eq=False)
class _HeldInMemory:
    """What is known of the rows of a batch: a `Held`."""

    rows: Sequence[MemoryRow]

    def has(self, feature_set: str, place: int) -> bool:
        return self.rows[place].statuses[feature_set] == Status.COMPLETE

    def files(self, feature_set: str, place: int) -> Sequence[SourceFile]:
        return self.rows[place].sources[feature_set]

    def read(self, array: str, place: int) -> NDArray[Any]:
        values: NDArray[Any] = self.rows[place].arrays[array].numpy()
        return values


def _require_same_judging(run: TrainedRun, settings: Settings) -> None:
    """Refuse settings that would need another calibration: that takes validation samples, and here is no store.

    Raises:
        SettingsError: names what differs, and how it is had.
    """
    own, asked = run.settings.evaluate.deciding, settings.evaluate.deciding
    changes = [f"evaluate.{name}={json.dumps(value)}" for name, value in asked.items() if value != own[name]]
    if changes:
        sets = " ".join(f"--set {change}" for change in changes)
        raise SettingsError(
            f"{listed(changes)} cannot be had in scoring: {run.folder.path} was calibrated otherwise. `weldcache eval "
            f"{run.folder.name} {sets}` judges it so; to score by it, train the run again with {sets}."
        )


def calibration_for(judge: Judge[Any], run: TrainedRun) -> Calibration | None:
    """The calibration that a run keeps, if it is of the weights that score; else None, and it is said.

    Raises:
        TrainingError: as `kept_calibration`.
    """
    kept: Calibration | None = kept_calibration(judge, run.folder)
    of_run = (run.manifest["fingerprint"], run.best().epoch)
    if kept is not None and (kept["rests_on"]["fingerprint"], kept["rests_on"]["epoch"]) == of_run:
        return kept
    told = "keeps no calibration"
    if run.folder.calibration_path.exists():
        told = f"keeps a calibration of {'another version of weldcache' if kept is None else 'other weights'}"
    say(
        f"{run.folder.path} {told}, so that nothing is known of what its scores mean; `weldcache eval "
        f"{run.folder.name}` makes one where validation allows it."
    )
    return None


def _batch_of(rows: Sequence[MemoryRow], needs: Needs, arrays: Mapping[str, Mapping[str, ArraySpec]]) -> Batch:
    """The rows as `FeatureReader` reads those of a store: zeros for what a row lacks."""
    features = dict[str, Tensor]()
    for request in needs.features:
        spec = arrays[request.feature_set].get(request.array)
        if spec is None:
            continue  # asked for only where it is held
        values = torch.zeros((len(rows), *spec.shape), dtype=TORCH_TYPES[spec.dtype])
        for place, row in enumerate(rows):
            if request.name in row.arrays:
                values[place] = row.arrays[request.name]
        features[request.name] = values
    present = {
        name: torch.tensor([row.statuses.get(name) == Status.COMPLETE for row in rows], dtype=torch.bool)
        for name in needs.optional
    }
    return Batch(features, present)


def _index_of(rows: Sequence[MemoryRow]) -> Index:
    keys = [row.sample.key for row in rows]
    return index_with(
        keys=keys, parts=[_NO_SPLIT] * len(keys), groups=[row.sample.group for row in rows], targets={}, attributes={}
    )
