"""What to know of the samples that a model is trained on before believing what it does on others."""

from collections.abc import Collection, Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..cache.splits import LEFT_OUT
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..wording import count_of, listed, shortened
from .data.features import Rows, classes_of, held_requests, targets_of
from .recipes.recipe import Recipe, limits_of

_NAMED = 3  # classes, before it is said how many more
_FEW_HAVE_IT = 10  # training samples: fewer teach no more than what these few look like
_TOO_WIDE = 100.0  # times the deviation without a few samples: whatever the others do is then within a hundredth
_FEW_DECIDE = 0.02  # of the samples, and one at least, that may have such values


def training_caveats(
    store: FeatureStore, train: Rows, *, recipe: Recipe, untrained: Collection[str]
) -> tuple[str, ...]:
    """Sentences on classes and modalities that none, or hardly any, of the training samples has, and on channels that a
    few values spoil.

    Args:
        store: holds the samples.
        train: those that are trained on.
        recipe: what is trained.
        untrained: modalities that none of them has.
    """
    return (
        *_about_classes(store, train, recipe=recipe),
        *_about_untrained(len(train), recipe=recipe, untrained=untrained),
        *_about_rare(store, train, recipe=recipe, untrained=untrained),
        *_about_channels(store, train, recipe=recipe),
    )


def _about_classes(store: FeatureStore, train: Rows, *, recipe: Recipe) -> Iterator[str]:
    """What the loss cannot learn although the store has samples of it."""
    for target, names in classes_of(store, recipe).items():
        codes = targets_of(store)[target].astype(np.int64)
        elsewhere = codes[(store.index.parts != LEFT_OUT) & (codes >= 0)]
        lacking = [names[code] for code in np.setdiff1d(elsewhere, codes[train])]
        if lacking:
            yield (
                f"No training sample is of {target} {shortened(lacking, most=_NAMED)}: the model cannot tell these. "
                f"`weldcache split NAME --stratify {target}` deals groups of all classes to train, where there are "
                "enough; train on them with --set train.split=NAME."
            )


def _about_untrained(num_train: int, *, recipe: Recipe, untrained: Collection[str]) -> Iterator[str]:
    if untrained:
        limits = limits_of(recipe, recipe.needs().modalities.keys() - untrained)
        yield (
            f"All {count_of(num_train, 'sample')} to train on lack {listed(sorted(untrained))}: nothing is learned of "
            f"it, and no sample that has it is scored by it. {limits}"
        ).rstrip()


def _about_rare(store: FeatureStore, train: Rows, *, recipe: Recipe, untrained: Collection[str]) -> Iterator[str]:
    for modality, names in recipe.needs().dispensable.items():
        having = np.all([store.status(name)[train] == Status.COMPLETE for name in names], axis=0)
        num = int(np.count_nonzero(having))
        if modality not in untrained and num < min(_FEW_HAVE_IT, len(train) / 2):
            yield (
                f"Only {num} of the {count_of(len(train), 'sample')} to train on have {modality}: what scores make of "
                "it rests on these."
            )


def _about_channels(store: FeatureStore, train: Rows, *, recipe: Recipe) -> Iterator[str]:
    """A sentence for each channel whose deviation over the training samples comes from a few of them alone.

    Only arrays of channels are looked at that are standardised by the training samples.
    """
    needs = recipe.needs()
    for request in held_requests(store, needs.features):
        if request.name in needs.measures and store.array_spec(request.name).dims[-1:] == ("channel",):
            complete = store.status(request.feature_set)[train] == Status.COMPLETE
            yield from _outliers_of(store, request.name, train[complete])


def _outliers_of(store: FeatureStore, name: str, rows: Rows) -> Iterator[str]:
    if not len(rows):
        return
    values = store.read(name, rows).astype(np.float64)
    numbers = [str(number) for number in range(values.shape[-1])]
    titles = cast(Sequence[str], store.array_spec(name).attributes.get("channels", numbers))
    for channel, title in enumerate(titles):
        of_channel = values[..., channel].reshape(len(rows), -1)
        deviating = _few_that_decide(of_channel)
        if len(deviating):
            extreme = of_channel[deviating[0]]
            furthest = float(extreme[np.abs(extreme - np.median(of_channel)).argmax()])
            others = np.delete(of_channel, deviating, axis=0)
            keys = shortened(store.index.keys[rows[deviating]].tolist(), most=3)
            yield (
                f"The channel {title} reaches {furthest:.3g} in {count_of(len(deviating), 'sample')} to train on "
                f"({keys}), and in no other less than {others.min():.3g} or more than {others.max():.3g}. Standardised "
                "by this, it hardly changes in any other sample, and the model cannot see it. Mend its files or "
                "leave it out, and train again."
            )


def _few_that_decide(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rows, furthest first, without which the deviation is a small part; none where it takes many to change it."""
    furthest = np.argsort(-np.abs(values - np.median(values)).max(axis=1), kind="stable")
    for num in range(1, min(len(values) - 1, max(1, int(_FEW_DECIDE * len(values)))) + 1):
        remaining = float(np.delete(values, furthest[:num], axis=0).std())
        if remaining > 0 and values.std() > _TOO_WIDE * remaining:
            return furthest[:num]
    return furthest[:0]
