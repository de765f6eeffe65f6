"""Which detector a new data set is first tried with, when nobody has labelled its test: a bench without test.

Candidates are fitted to the normal samples of train. What they are compared by are the normal samples of validation and
what is made of these: pseudo-defects, several draws of them; or, where somebody declares them, validation's defects.
No row of test is read, nor is what it is.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...cache.status import Status
from ...cache.store import FeatureStore
from ...cache.targets import DEFECT, NORMAL
from ...configs.device import resolve_device
from ...errors import MetricError, NotFoundError, TrainingError, WeldcacheError
from ...progress import Progress, say
from ...settings import Settings
from ...train.data.batches import BatchSource
from ...train.data.features import Rows, shapes_for
from ...train.data.resident import FeaturePool
from ...train.data.samples import TRAIN_SPLIT, VALIDATION_SPLIT
from ...train.fit import fit
from ...train.randomness import Purpose, derived_seed, seeded_global_rng
from ...train.recipes.recipe import Fitted, make_recipe
from ...train.scoring import score_rows
from ...wording import count_of
from ..tasks.anomaly.measure import AnomalyMeasure
from .candidates import candidates
from .comparison import Aligned, behind_best
from .plan import one_line
from .pseudo_defects import Dealt, PseudoDefects, modality_of
from .recommendation import RankedCandidate, Recommendation

_PARTS = (TRAIN_SPLIT, VALIDATION_SPLIT)
_FEWEST = 10  # normals of each: a judgement, as that of classes for DeLong's variance
_DRAWS = 8


@dataclass(frozen=True, eq=False)
class _Shown:
    """What every candidate is shown: rows that have all features that some candidate looks at.

    Attributes:
        train: rows to fit it to.
        normals: rows of validation that are normal.
        defects: rows of its defects; None where pseudo-defects stand for them.
        dealt: how these are made, a draw each.
    """

    pool: FeaturePool
    train: Rows
    normals: Rows
    defects: Rows | None
    dealt: Sequence[Dealt]

    @property
    def truth(self) -> NDArray[np.int64]:
        """0 of each normal, then 1 of each defect, or of each pseudo-defect."""
        num_defects = len(self.normals) if self.defects is None else len(self.defects)
        return np.repeat([0, 1], [len(self.normals), num_defects])

    @property
    def groups(self) -> list[str]:
        """The groups of these samples; a pseudo-defect belongs to that of the sample that it was made of."""
        rows = np.concatenate([self.normals, self.normals if self.defects is None else self.defects])
        return [str(group) for group in self.pool.store.index.groups[rows]]


def recommend(settings: Settings, *, validation_defects: bool = False) -> Recommendation:
    """Rank the detectors that the store can feed; with `validation_defects` by validation's defects, as far as their
    labels are known. `train.seed` draws pairs and modalities.

    Raises:
        NotFoundError: if there is no store, no candidate, or there are too few normals.
        MetricError: if defects of validation are asked for, and there are none.
    """
    store = FeatureStore.open(settings.cache.path, split=settings.train.split)
    tried = candidates(store, settings)
    if not tried:
        raise NotFoundError(
            f"{store.path} has no vectors or patches that a detector could look at: run `weldcache extract` first."
        )
    shown = _shown(store, tried, settings, validation_defects=validation_defects)
    answers: dict[str, Aligned] = {}
    seconds: dict[str, float] = {}
    failures: dict[str, str] = {}
    with Progress("recommend", total=len(tried), unit="candidates") as progress:
        for name, chosen in tried.items():
            started = time.monotonic()
            try:
                answers[name] = _answers(chosen, shown)
            except WeldcacheError as error:
                failures[name] = one_line(error)
                say(f"Not tried: {name}: {failures[name]}")
            seconds[name] = time.monotonic() - started
            progress.advance(note=name)
    if not answers:
        raise NotFoundError(f"No candidate could be fitted: {'; '.join(failures.values())}")
    declared = shown.defects
    return Recommendation(
        ranking=_ranked(tried, answers, shown, seconds=seconds),
        against="pseudo-defects made of them" if declared is None else count_of(len(declared), "defect") + " of it",
        of_defects=declared is not None,
        num_normals=len(shown.normals),
        num_groups=len(set(store.index.groups[shown.normals].tolist())),
        failures=failures,
    )


def _shown(
    store: FeatureStore, tried: Mapping[str, Settings], settings: Settings, *, validation_defects: bool
) -> _Shown:
    names = sorted({name for chosen in tried.values() for name in make_recipe(chosen.recipe).needs().feature_sets})
    whole = np.all([store.status(name) == Status.COMPLETE for name in names], axis=0)
    labels, parts = store.index.labels, store.index.parts
    train, normals = (np.flatnonzero(whole & (parts == part) & (labels == NORMAL)) for part in _PARTS)
    defects = np.flatnonzero(whole & (parts == VALIDATION_SPLIT) & (labels == DEFECT))
    for part, rows in zip(_PARTS, (train, normals), strict=True):
        if len(rows) < _FEWEST:
            raise NotFoundError(
                f"The split {part} of {store.path} has {count_of(len(rows), 'normal sample')} with all features, and "
                f"{_FEWEST} are needed: deal the rows anew with `weldcache split`, or extract more."
            )
    if validation_defects and not len(defects):
        raise MetricError(
            f"The split {VALIDATION_SPLIT} of {store.path} has no defects with all features: leave out "
            "--validation-defects, and pseudo-defects stand for them."
        )
    every = [train, normals, *([defects] if validation_defects else [])]
    pool = FeaturePool(
        store, np.concatenate(every), device=resolve_device(settings.train.device, setting="train.device")
    )
    generator, groups = np.random.default_rng(settings.train.seed), store.index.groups[normals].tolist()
    modalities = list(dict.fromkeys(map(modality_of, names)))
    dealt = [Dealt.drawn(groups, modalities, generator=generator) for _ in range(_DRAWS)]
    return _Shown(pool, train, normals, defects if validation_defects else None, dealt)


def _answers(settings: Settings, shown: _Shown) -> dict[int, NDArray[np.float64]]:
    """Scores of the normals and of what is to be told from them, a line a draw."""
    recipe, seed = make_recipe(settings.recipe), settings.train.seed
    assert isinstance(recipe, Fitted)
    pool, needs = shown.pool, recipe.needs()
    with seeded_global_rng(derived_seed(seed, Purpose.WEIGHTS), device=torch.device("cpu")):
        model = recipe.build(shapes_for(pool.store, recipe)).to(pool.device)
    fit(recipe, model, pool.source(shown.train, needs), seed=seed, title=f"fit {settings.recipe.name}", noun="row")
    model.eval()

    def scores(samples: BatchSource) -> NDArray[np.float64]:
        size = settings.train.batch_size
        found = score_rows(recipe, {"": model}, samples, batch_size=size, precision=settings.train.precision)[""]
        if not np.isfinite(found).all():
            raise TrainingError("some scores are not finite")
        return found.astype(np.float64)

    samples = pool.source(shown.normals, needs)
    normals = scores(samples)
    if shown.defects is not None:
        return {0: np.concatenate([normals, scores(pool.source(shown.defects, needs))])}
    made = (scores(PseudoDefects(samples, dealt)) for dealt in shown.dealt)
    return {draw: np.concatenate([normals, found]) for draw, found in enumerate(made)}


def _ranked(
    tried: Mapping[str, Settings], answers: Mapping[str, Aligned], shown: _Shown, *, seconds: Mapping[str, float]
) -> tuple[RankedCandidate, ...]:
    measure, truth, groups = AnomalyMeasure(), shown.truth, shown.groups
    figures = {
        name: measure.mean(np.stack(list(each.values())), truth, groups=groups) for name, each in answers.items()
    }
    order = sorted(answers, key=lambda name: -figures[name].value)
    behind = behind_best(order, answers, measure, truth=truth, groups=groups)
    draws = [{name: measure.value(each[draw], truth) for name, each in answers.items()} for draw in answers[order[0]]]
    firsts = [max(of_draw, key=of_draw.__getitem__) for of_draw in draws]
    return tuple(
        RankedCandidate(
            name,
            tried[name],
            figures[name],
            behind.get(name),
            first_in=firsts.count(name) / len(firsts),
            seconds=seconds[name],
        )
        for name in order
    )
