"""From a store to batches: which rows take part, what is asked of the store, what stays on the device."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from weldcache.cache.index import index_of
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor
from weldcache.cache.writer import StoreWriter
from weldcache.errors import NotFoundError, SettingsError, TrainingError
from weldcache.train import resident
from weldcache.train.recipes.recipe import FeatureRequest, Selection
from weldcache.train.requests import positions, require_arrays, row_shape
from weldcache.train.resident import load_resident, resident_bytes
from weldcache.train.samples import choose_samples

CPU = torch.device("cpu")
VIDEO, LENGTH = FeatureRequest("video", "tokens"), FeatureRequest("audio", "tokens_length")
AUDIO = FeatureRequest("audio", "tokens")
PATCHES = FeatureRequest("image", "patch_tokens", take=Selection("blocks", (6, 2)))
REQUESTS = (VIDEO, AUDIO, LENGTH, PATCHES)


def mark(store: FeatureStore, modality: str, rows: list[int]) -> None:
    for row in rows:
        StoreWriter(store).report(modality, row, Status.UNREADABLE, reason="damaged")


def test_trains_on_complete_normals_and_counts_the_others(toy_store: FeatureStore) -> None:
    mark(toy_store, "video", [0, 1, 39, 45])  # two train normals, a train defect, a validation normal
    mark(toy_store, "image", [1])
    chosen = choose_samples(toy_store, REQUESTS, monitor="val_auroc")
    assert chosen.train.tolist() == list(range(2, 37))
    assert chosen.validation.tolist() == [row for row in range(40, 64) if row != 45]
    assert chosen.defects_left_out == 3
    assert chosen.train_lacking == {"video": 2, "image": 1}
    assert chosen.validation_lacking == {"video": 1}


def test_a_modality_that_nobody_asks_for_leaves_nobody_out(toy_store: FeatureStore) -> None:
    mark(toy_store, "image", list(range(64)))
    assert len(choose_samples(toy_store, (VIDEO, LENGTH), monitor="val_auroc").train) == 37


def test_a_split_without_features_names_the_command(toy_store: FeatureStore) -> None:
    mark(toy_store, "video", list(range(40, 64)))
    with pytest.raises(NotFoundError, match=r"no video for 24\. Run `weldcache extract --split val`"):
        choose_samples(toy_store, REQUESTS, monitor="val_loss")


def test_a_split_that_the_data_does_not_have_is_named(toy_store: FeatureStore, tmp_path: object) -> None:
    index = index_of(keys=["a"], splits=["train"], class_names=["good"], sessions=[""], labels=[0], attributes={})
    store = FeatureStore.create(toy_store.path.with_name("other.zarr"), index=index)
    with pytest.raises(NotFoundError, match=r"weldcache extract --split train"):
        choose_samples(store, REQUESTS, monitor="val_loss")
    with pytest.raises(NotFoundError, match=r"no rows of the split val \(it has train\)"):
        choose_samples(store, (), monitor="val_loss")


def test_an_auroc_needs_validation_defects_and_a_loss_does_not(toy_store: FeatureStore) -> None:
    mark(toy_store, "audio", list(range(52, 64)))
    with pytest.raises(SettingsError, match=r"train\.monitor=val_loss"):
        choose_samples(toy_store, REQUESTS, monitor="val_auroc")
    assert len(choose_samples(toy_store, REQUESTS, monitor="val_loss").validation) == 12


@pytest.mark.parametrize(("rows", "split"), [(list(range(1, 37)), "train"), (list(range(40, 52)), "val")])
def test_too_few_normals_are_refused(toy_store: FeatureStore, rows: list[int], split: str) -> None:
    mark(toy_store, "audio", rows)
    with pytest.raises(NotFoundError, match=rf"normal rows with all features in the split {split}"):
        choose_samples(toy_store, REQUESTS, monitor="val_auroc")


def test_blocks_are_found_by_what_the_store_says_they_are(toy_store: FeatureStore) -> None:
    assert positions(toy_store, PATCHES) == (2, 0)
    assert row_shape(toy_store, PATCHES) == (2, 2, 5, 16)
    assert row_shape(toy_store, LENGTH) == ()


def test_blocks_that_are_not_cached_are_named_beside_those_that_are(toy_store: FeatureStore) -> None:
    wanted = FeatureRequest("image", "patch_tokens", take=Selection("blocks", (2, 3, 5)))
    with pytest.raises(SettingsError, match=r"holds blocks \[2, 4, 6\], not \[3, 5\].*model\.blocks"):
        require_arrays(toy_store, [wanted])


@pytest.mark.parametrize("request_", [FeatureRequest("thermal", "tokens"), FeatureRequest("video", "grid")])
def test_arrays_that_are_not_cached_name_the_command(toy_store: FeatureStore, request_: FeatureRequest) -> None:
    with pytest.raises(NotFoundError, match=f"no features {request_.name}.*weldcache extract"):
        require_arrays(toy_store, [request_])


def test_batches_are_the_rows_of_the_store(toy_store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "_BLOCK_ROWS", 4)  # so that there are several blocks and a rest
    rows = np.array([50, 3, 41, 7, 8, 9, 22, 63, 0])
    features = load_resident(toy_store, rows, requests=REQUESTS, device=CPU)
    batch = features.batch(torch.tensor([8, 1, 1]))
    for request in REQUESTS:
        expected = read_tensor(toy_store, request.name, rows[[8, 1, 1]], take=positions(toy_store, request))
        assert batch[request.name].dtype == expected.dtype
        assert torch.equal(batch[request.name], expected)
    assert batch["audio/tokens"].dtype == torch.bfloat16
    assert features.labels.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_the_memory_is_known_before_anything_is_read(toy_store: FeatureStore) -> None:
    features = load_resident(toy_store, np.arange(5), requests=REQUESTS, device=CPU)
    assert resident_bytes(toy_store, REQUESTS, num_rows=5) == features.num_bytes


def test_features_that_do_not_fit_are_refused_with_both_sizes(
    toy_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    free: Callable[[torch.device], int] = lambda device: 4_000  # noqa: E731
    monkeypatch.setattr(resident, "available_bytes", free)
    with pytest.raises(TrainingError, match=r"take 0\.00 GB and cpu has 0\.00 GB free"):
        load_resident(toy_store, np.arange(5), requests=REQUESTS, device=CPU)
