"""Recipes that learn by gradient, from a store to a run and back, at the toy's size: the contract has no store."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.settings import Settings
from weldcache.train.attribution import place_scores
from weldcache.train.data.features import FeatureReader
from weldcache.train.pipeline import train
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.runs.trained_run import load_run
from weldcache.train.runs.verification import verify_run
from weldcache.train.settings import RECIPES

_SHALLOW, _DEEP = "image/block_2/patch_tokens", "image/block_6/patch_tokens"
_CHOSEN: Mapping[str, dict[str, object]] = {
    "reconstruction": {"array": "video/tokens", "beside": ["audio/tokens", "sensor/values"], "modality_dropout": 0.2},
    "cfm": {"process": ["video/tokens", "sensor/values"], "result": [_DEEP]},
    "l2bt": {},  # finds its blocks itself
    "simplenet": {"beside": [_SHALLOW], "hidden": 8, "places": 4},
    "dinomaly": {"beside": [_SHALLOW], "depth": 2},
    "inp_former": {"array": "audio/tokens", "depth": 2, "num_heads": 2},
}


@pytest.mark.parametrize("name", _CHOSEN)
def test_a_run_learns_and_says_by_place_what_it_says_of_samples(
    name: str, toy_settings: Callable[..., Settings], shared_store: FeatureStore
) -> None:
    chosen = RECIPES.section(name).model_validate({"name": name, **_CHOSEN[name]})
    settings = toy_settings(epochs=3, monitor="val_loss", lr=3e-3).model_copy(update={"recipe": chosen})
    summary = train(settings, run_name=None, overwrite=False, command="weldcache train")
    losses = [row["val_loss"] for row in summary.run.log()]
    assert losses[-1] < losses[0]
    assert verify_run(summary.run, folder=summary.run.path.parent).passed
    run = load_run(summary.run.path)
    recipe = make_recipe(run.settings.recipe)
    model = run.model("averaged", device=torch.device("cpu"), shapes=run.shapes(shared_store))
    rows = FeatureReader(shared_store, recipe.needs().features).read(np.arange(4))
    arrays = [request.name for request in recipe.needs().features if request.compared]
    found = place_scores(recipe, model, rows, arrays=arrays, precision="float32")
    if name in ("reconstruction", "cfm"):
        return  # of whole samples, so that gradients say what each place adds
    (scores,) = found.values()
    with torch.no_grad():
        score = recipe.predict(model, recipe.encode(model, rows, None)).score
    strangest = scores.flatten(1).nan_to_num(nan=-torch.inf).amax(dim=1)
    torch.testing.assert_close(strangest, score)  # with 5 or 6 places, the strangest percent is one
