"""Resident where features fit, streamed where they do not, and the same run either way."""

from collections.abc import Callable

import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.errors import TrainingError
from weldcache.settings import Settings
from weldcache.train.data import resident
from weldcache.train.data.batches import BatchSource
from weldcache.train.data.features import FeatureReader, shapes_for
from weldcache.train.data.resident import Loading, ResidentFeatures, load_features
from weldcache.train.data.samples import choose_samples
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.pipeline import measure
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.tasks import AnomalyTask

MakeSettings = Callable[..., Settings]
Load = Callable[[Loading], tuple[BatchSource, BatchSource]]


@pytest.fixture
def load(shared_store: FeatureStore, toy_settings: MakeSettings) -> Load:
    recipe = make_recipe(toy_settings().recipe)
    samples = choose_samples(shared_store, recipe, task=AnomalyTask(), monitor="val_auroc")
    reader = FeatureReader(shared_store, recipe.needs().features)

    def load(loading: Loading) -> tuple[BatchSource, BatchSource]:
        return load_features(reader, samples, device=torch.device("cpu"), loading=loading, batch_size=8)

    return load


@pytest.mark.parametrize(
    ("loading", "free_bytes", "expected"),
    [
        ("auto", 10**9, ResidentFeatures),
        ("auto", None, ResidentFeatures),
        ("auto", 10_000, StreamedFeatures),
        ("resident", 10**9, ResidentFeatures),
        ("streamed", 10**9, StreamedFeatures),
    ],
)
def test_what_fits_stays_and_the_rest_streams(
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loading: Loading,
    free_bytes: int | None,
    expected: type,
) -> None:
    monkeypatch.setattr(resident, "available_bytes", lambda device: free_bytes)
    train, validation = load(loading)
    assert isinstance(train, expected) and isinstance(validation, expected)
    assert (len(train), len(validation)) == (37, 24)
    said = capsys.readouterr().err
    assert ("stay on cpu" in said) is (expected is ResidentFeatures)
    assert ("do not fit the memory of cpu" in said) is (loading == "auto" and expected is StreamedFeatures)
    assert len(said.splitlines()) == 1


def test_resident_is_refused_where_it_does_not_fit(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "available_bytes", lambda device: 10_000)
    with pytest.raises(TrainingError, match=r"--set train\.loading=streamed"):
        load("resident")


@pytest.mark.parametrize("standardise", [True, False])
def test_statistics_are_the_same_to_the_last_bit(
    load: Load, shared_store: FeatureStore, toy_settings: MakeSettings, standardise: bool
) -> None:
    settings = toy_settings()
    recipe = make_recipe(settings.recipe.model_copy(update={"standardise": standardise}))
    found = []
    for loading in ("resident", "streamed"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            film = recipe.build(shapes_for(shared_store, recipe))
        measure(recipe, film, load(loading)[0], store=shared_store)  # type: ignore[arg-type]
        found.append(film.state_dict())
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert found[0]["sensor.mean"].abs().min() > 0
    assert (found[0]["video.mean"].abs().max() > 0) == standardise
