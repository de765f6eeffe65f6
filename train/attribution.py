"""Which places of a sample its score comes from: what a recipe's own maps say, or else the gradient of the score."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from .recipes.recipe import Recipe
from .scoring import arithmetic, encode
from .settings import Precision
from .types import Batch


def place_scores(
    recipe: Recipe,
    model: nn.Module,
    batch: Batch,
    *,
    arrays: Sequence[str],
    precision: Precision,
    without: Collection[str] = (),
) -> Mapping[str, Tensor]:
    """Scores by place of some arrays of a batch, (row, *places), by the array's name; higher is more anomalous.

    `arrays` have places before their last axis, such as patches or steps. A recipe whose predictions have a map of
    them is asked for it, NaN where there is padding; arrays of which it has none are left out. Of any other recipe it
    is gradient times activation, summed over the last axis: what each place adds to the score, as far as the score is
    linear around the sample. Below 0 is what makes a sample look normal.

    Source: Shrikumar et al. (2016), "Not Just a Black Box: Learning Important Features Through Propagating Activation
    Differences", arXiv 1605.01713, section 2.1.
    """
    found = recipe.predict(model, encode(recipe, model, batch, precision=precision, without=without)).maps
    if found:
        return _by_array(found, batch, arrays=arrays)
    return _gradient_times_activation(recipe, model, batch, arrays=arrays, precision=precision, without=without)


def _by_array(maps: Mapping[str, Tensor], batch: Batch, *, arrays: Sequence[str]) -> dict[str, Tensor]:
    """The maps by the array whose places they have; each map is that of the first array that it fits."""
    left, named = list(arrays), {}
    for scores in maps.values():
        fitting = (name for name in left if batch.features[name].shape[:-1] == scores.shape)
        if (name := next(fitting, None)) is not None:
            named[name] = scores.float()
            left.remove(name)
    return named


@torch.enable_grad()
def _gradient_times_activation(
    recipe: Recipe,
    model: nn.Module,
    batch: Batch,
    *,
    arrays: Sequence[str],
    precision: Precision,
    without: Collection[str],
) -> dict[str, Tensor]:
    # Copies in single precision: half of what a gradient of half precision says is rounding.
    leaves = {name: batch.features[name].detach().float().requires_grad_() for name in arrays}
    watched = replace(batch.inputs().without(without), features={**batch.features, **leaves})
    with arithmetic(batch.device, precision):
        score = recipe.predict(model, recipe.encode(model, watched, None)).score
    if not leaves or not score.requires_grad:
        return {}
    # A row's score depends on no other row, so that the sum's gradient is that of each score.
    gradients = torch.autograd.grad(score.float().sum(), list(leaves.values()), allow_unused=True)
    pairs = zip(leaves.items(), gradients, strict=True)
    return {name: (values.detach() * slope).sum(dim=-1) for (name, values), slope in pairs if slope is not None}
