"""From a store to batches: which rows take part, what is asked of the store, what stays on the device."""

import numpy as np
import pytest
import torch

from weldcache.cache.arrays import ArraySpec
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor
from weldcache.cache.writer import StoreWriter
from weldcache.errors import NotFoundError, SettingsError, StoreError, TrainingError
from weldcache.extract.features.kind import active_array
from weldcache.tests.toy import index_of
from weldcache.train.data import features, resident
from weldcache.train.data.features import FeatureReader, require_features, shapes_for
from weldcache.train.data.resident import FeaturePool, load_resident
from weldcache.train.data.samples import choose_samples
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.recipes.match_fusion import MatchFusionSettings, match_fusion
from weldcache.train.recipes.nearest import NearestRecipe, NearestSettings
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.tasks import AnomalyTask
from weldcache.train.types import FeatureRequest, Needs

CPU = torch.device("cpu")
VIDEO, LENGTH = FeatureRequest("video", "tokens"), FeatureRequest("audio", "tokens_length")
AUDIO = FeatureRequest("audio", "tokens")
PATCHES = tuple(FeatureRequest(f"image/block_{block}", "patch_tokens") for block in (6, 2))
REQUESTS = (VIDEO, AUDIO, LENGTH, *PATCHES)


class Wants(Recipe):
    """What choosing samples asks of a recipe; `optional` feature sets are modalities of their own."""

    def __init__(self, *requests: FeatureRequest, optional: bool = False) -> None:
        self._requests = tuple(FeatureRequest(each.feature_set, each.array, optional) for each in requests)

    def needs(self) -> Needs:
        names = Needs(self._requests).optional
        images = tuple(name for name in names if name.startswith("image"))
        others = {name: (name,) for name in names if name not in images}
        return Needs(self._requests, modalities=others | ({"image": images} if images else {}))


EVERYTHING = Wants(*REQUESTS)


def film(**settings: object) -> Recipe:
    return CausalFilmRecipe(CausalFilmSettings.model_validate(settings))


def mark(store: FeatureStore, feature_set: str, rows: list[int]) -> None:
    for row in rows:
        StoreWriter(store).report(feature_set, row, Status.UNREADABLE, reason="damaged")


def test_trains_on_complete_normals_and_counts_the_others(toy_store: FeatureStore) -> None:
    mark(toy_store, "video", [0, 1, 39, 45])  # two train normals, a train defect, a validation normal
    mark(toy_store, "image/block_2", [1])
    chosen = choose_samples(toy_store, EVERYTHING, task=AnomalyTask(), monitor="val_auroc")
    assert chosen.train.tolist() == list(range(2, 37))
    assert chosen.validation.tolist() == [row for row in range(40, 64) if row != 45]
    assert chosen.train_left_out == 3
    assert chosen.train_lacking == {"video": 2, "image/block_2": 1}
    assert chosen.validation_lacking == {"video": 1}


def test_who_lacks_a_modality_takes_part_if_the_recipe_can_do_without(toy_store: FeatureStore) -> None:
    """Not those that were never extracted, though: that would train on them as if their files were not there."""
    wants = Wants(*REQUESTS, optional=True)
    mark(toy_store, "video", [0, 1, 45])
    mark(toy_store, "image/block_2", [1, 2])
    mark(toy_store, "image/block_6", [2, 3])
    for feature_set in ("video", "audio", "image/block_2", "image/block_6"):
        mark(toy_store, feature_set, [7])  # nothing is left
    toy_store.forget("audio", [4, 46])
    chosen = choose_samples(toy_store, wants, task=AnomalyTask(), monitor="val_auroc")
    assert chosen.train.tolist() == [row for row in range(37) if row not in (4, 7)]
    assert chosen.train_lacking == {"video": 1, "audio": 2, "image/block_2": 1, "image/block_6": 1}
    assert chosen.train_without == {"video": 2, "image": 3}
    assert chosen.validation_lacking == {"audio": 1}
    assert chosen.validation_without == {"video": 1}


def test_a_batch_says_who_lacks_what_and_holds_zeros_there(toy_store: FeatureStore) -> None:
    mark(toy_store, "audio", [3, 5])
    requests = (VIDEO, FeatureRequest("audio", "tokens", optional=True), FeatureRequest("audio", "tokens_length", True))
    reader, rows = FeatureReader(toy_store, requests), np.array([3, 4, 5, 6])
    features = load_resident(reader, rows, device=CPU)
    (batch,) = features.batches([torch.tensor([0, 1, 3])])
    assert batch.features.keys() == {VIDEO.name, AUDIO.name, LENGTH.name}
    assert {name: held.tolist() for name, held in batch.present.items()} == {"audio": [False, True, True]}
    assert not batch.features[AUDIO.name][0].any() and batch.features[LENGTH.name][0] == 0
    assert torch.equal(batch.features[AUDIO.name][1:], read_tensor(toy_store, AUDIO.name, [4, 6]))
    for source in (features, StreamedFeatures(reader, rows, CPU)):
        (only,) = source.batches([torch.tensor([2])], arrays=[AUDIO.name])
        assert only.features.keys() == {AUDIO.name} and only.present.keys() == {"audio"}
    with pytest.raises(StoreError, match="have no audio features"):
        load_resident(FeatureReader(toy_store, REQUESTS), rows, device=CPU)


def test_a_pool_reads_each_array_once_however_many_ask(
    toy_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counting(store: FeatureStore, name: str, rows: np.ndarray, **out: torch.Tensor) -> torch.Tensor:
        read.extend([name] if len(rows) else [])
        return read_tensor(store, name, rows, **out)

    monkeypatch.setattr(features, "read_tensor", counting)
    mark(toy_store, "video", [41])
    pool = FeaturePool(toy_store, np.array([9, 8, 40, 41, 42, 3]), device=CPU)
    assert pool.num_bytes(Needs(PATCHES)) == FeatureReader(toy_store, PATCHES).num_bytes(6)
    first = pool.source(np.array([40, 42]), Needs(PATCHES))
    assert pool.num_bytes(Needs(PATCHES)) == 0
    optional = FeatureRequest("video", "tokens", optional=True)
    second = pool.source(np.array([8, 40, 41]), Needs((PATCHES[0], optional)))
    pool.source(np.array([3, 9]), Needs((PATCHES[0], optional)))
    assert sorted(read) == sorted([PATCHES[0].name, PATCHES[1].name, VIDEO.name])
    (batch,) = first.batches([torch.tensor([1, 0])])
    assert batch.features.keys() == {request.name for request in PATCHES}
    assert torch.equal(batch.features[PATCHES[1].name], read_tensor(toy_store, PATCHES[1].name, [42, 40]))
    (batch,) = second.batches([torch.arange(3)])
    assert batch.present["video"].tolist() == [True, True, False]
    assert torch.equal(batch.features[VIDEO.name][:2], read_tensor(toy_store, VIDEO.name, [8, 40]))
    shared = pool.source(np.array([40, 41]), Needs(PATCHES)).rows.features[PATCHES[0].name]
    assert shared.data_ptr() == first.rows.features[PATCHES[0].name][2].data_ptr()


def test_batches_hold_the_targets_that_are_asked_for(shared_store: FeatureStore) -> None:
    """The same from memory, from a pool and from the store; for what is measured those arrays alone."""
    rows, needs = np.array([36, 37, 40, 63]), Needs((VIDEO,), targets=("label", "class"))
    reader = FeatureReader(shared_store, needs.features, needs.targets)
    sources = [
        load_resident(reader, rows, device=CPU),
        FeaturePool(shared_store, np.arange(64), device=CPU).source(rows, needs),
        StreamedFeatures(reader, rows, CPU),
    ]
    for source in sources:
        (batch,) = source.batches([torch.tensor([3, 0, 1])])
        assert {name: target.tolist() for name, target in batch.targets.items()} == {
            "label": [1, 0, 1],
            "class": [1, 0, 1],  # good, broken_link
        }
        assert batch.targets["label"].dtype == torch.int8
        assert not batch.inputs().targets and batch.inputs().features.keys() == {VIDEO.name}
        (measured,) = source.batches([torch.tensor([0])], arrays=[VIDEO.name])
        assert not measured.targets
        (measured,) = source.batches([torch.tensor([0, 3])], arrays=[VIDEO.name, "class"])
        assert {name: target.tolist() for name, target in measured.targets.items()} == {"class": [0, 1]}


def test_a_target_that_the_store_lacks_is_named(shared_store: FeatureStore) -> None:
    class Learns(Wants):
        def needs(self) -> Needs:
            return Needs((VIDEO,), targets=("angle",))

    with pytest.raises(NotFoundError, match=r"no target angle.*label, class"):
        require_features(shared_store, Learns())


def test_neighbours_are_not_copied(shared_store: FeatureStore) -> None:
    features = load_resident(FeatureReader(shared_store, REQUESTS), np.arange(9), device=CPU)
    run, gathered = features.batches([torch.tensor([3, 4, 5]), torch.tensor([3, 5, 4])])
    assert run.features[VIDEO.name].data_ptr() == features.rows.features[VIDEO.name][3].data_ptr()
    assert torch.equal(gathered.features[VIDEO.name], run.features[VIDEO.name][[0, 2, 1]])


def test_features_that_nobody_asks_for_leave_nobody_out(toy_store: FeatureStore) -> None:
    mark(toy_store, "image/block_4", list(range(64)))
    assert len(choose_samples(toy_store, EVERYTHING, task=AnomalyTask(), monitor="val_auroc").train) == 37


def test_a_split_without_features_is_told_what_can_help(toy_store: FeatureStore) -> None:
    """Extraction, of what was not extracted; files, where it looked for all of them already."""
    mark(toy_store, "video", list(range(40, 64)))
    with pytest.raises(NotFoundError, match="no video for 24") as refused:
        choose_samples(toy_store, EVERYTHING, task=AnomalyTask(), monitor="val_loss")
    assert "weldcache extract" not in str(refused.value) and "weldcache info" in str(refused.value)
    toy_store.forget("video", [63])
    with pytest.raises(NotFoundError, match=r"no video for 24\. Run `weldcache extract --split val`"):
        choose_samples(toy_store, EVERYTHING, task=AnomalyTask(), monitor="val_loss")


def test_a_split_that_the_data_does_not_have_is_named(toy_store: FeatureStore, tmp_path: object) -> None:
    index = index_of(keys=["a"], splits=["train"], class_names=["good"], groups=[""], labels=[0], attributes={})
    store = FeatureStore.create(toy_store.path.with_name("other.zarr"), index=index)
    with pytest.raises(NotFoundError, match=r"weldcache extract --split train"):
        choose_samples(store, EVERYTHING, task=AnomalyTask(), monitor="val_loss")
    with pytest.raises(NotFoundError, match=r"no rows of the split val \(it has train\)"):
        choose_samples(store, Wants(), task=AnomalyTask(), monitor="val_loss")


def test_an_auroc_needs_validation_defects_and_a_loss_does_not(toy_store: FeatureStore) -> None:
    mark(toy_store, "audio", list(range(52, 64)))
    with pytest.raises(SettingsError, match=r"train\.monitor=val_loss"):
        choose_samples(toy_store, EVERYTHING, task=AnomalyTask(), monitor="val_auroc")
    assert len(choose_samples(toy_store, EVERYTHING, task=AnomalyTask(), monitor="val_loss").validation) == 12


@pytest.mark.parametrize(("rows", "split"), [(list(range(1, 37)), "train"), (list(range(40, 52)), "val")])
def test_too_few_normals_are_refused(toy_store: FeatureStore, rows: list[int], split: str) -> None:
    mark(toy_store, "audio", rows)
    with pytest.raises(NotFoundError, match=rf"normals? with all features in the split {split}"):
        choose_samples(toy_store, EVERYTHING, task=AnomalyTask(), monitor="val_auroc")


def test_shapes_are_those_of_a_row(shared_store: FeatureStore) -> None:
    shapes = shapes_for(shared_store, film(blocks=(2, 6)))
    assert shapes["image/block_6/patch_tokens"] == (2, 5, 16)
    assert shapes["audio/tokens_length"] == ()
    assert shapes["text/prompt"] == (24,)


def test_blocks_that_are_not_cached_are_named_beside_those_that_are(shared_store: FeatureStore) -> None:
    with pytest.raises(NotFoundError) as caught:
        require_features(shared_store, film(blocks=(2, 3, 5)))
    message = str(caught.value)
    assert "no features image/block_3, image/block_5; it has" in message
    assert "image/block_4, image/block_6" in message
    assert "--set recipe.blocks=[2,4,6]" in message
    assert "`weldcache extract --set features.image.blocks=[2,3,4,5,6]`" in message
    require_features(shared_store, film(blocks=(2, 4, 6)))


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ({"video": "film"}, "film"),
        ({"image": "photo"}, "photo/block_2"),
        ({"text": "words"}, "words/prompt"),
    ],
)
def test_features_that_are_not_cached_name_the_command(
    shared_store: FeatureStore, names: dict[str, str], missing: str
) -> None:
    with pytest.raises(
        NotFoundError, match=f"no features {missing}.*it has video, audio.*`weldcache extract`.*recipe.image=<name>"
    ):
        require_features(shared_store, film(blocks=(2,), **names))


def test_an_array_that_a_set_lacks_is_named_beside_those_it_has(shared_store: FeatureStore) -> None:
    class WantsMore:
        def needs(self) -> Needs:
            return Needs((FeatureRequest("video", "grid"),))

        def __getattr__(self, name: str) -> object:
            return getattr(film(loss={"text": 0}), name)

    with pytest.raises(NotFoundError, match="no array video/grid; video has tokens"):
        require_features(shared_store, WantsMore())  # type: ignore[arg-type]


@pytest.mark.parametrize("array", ["image/block_4/views_present", "audio/tokens_length"])
def test_masks_and_lengths_are_no_vectors_and_some_arrays_that_are_are_named(
    shared_store: FeatureStore, array: str
) -> None:
    alone = NearestRecipe(NearestSettings.model_validate({"array": array}))
    members = {"one": {"name": "nearest", "array": array}, "other": {"name": "nearest", "array": "video/tokens"}}
    together = match_fusion(MatchFusionSettings.model_validate({"members": members}))
    for recipe in (alone, together):
        with pytest.raises(SettingsError, match=rf"{array} is a mask.*tokens.*video/tokens"):
            require_features(shared_store, recipe)
    require_features(
        shared_store, NearestRecipe(NearestSettings.model_validate({"array": "image/block_4/patch_tokens"}))
    )


def test_times_tell_of_others_and_equal_numbers_of_a_table_do_not() -> None:
    times = ArraySpec("times", (9,), ("step",), "float64", distinct=False, attributes={"unit": "s"})
    table = ArraySpec("values", (9,), ("dim",), "float32", distinct=False)
    assert (active_array().tells_of_others, times.tells_of_others, table.tells_of_others) == (True, True, False)


def test_batches_are_the_rows_of_the_store(shared_store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "_BLOCK_ROWS", 4)  # so that there are several blocks and a rest
    rows = np.array([50, 3, 41, 7, 8, 9, 22, 63, 0])
    features = load_resident(FeatureReader(shared_store, REQUESTS), rows, device=CPU)
    (batch,) = features.batches([torch.tensor([8, 1, 1])])
    for request in REQUESTS:
        expected = read_tensor(shared_store, request.name, rows[[8, 1, 1]])
        assert batch.features[request.name].dtype == expected.dtype
        assert torch.equal(batch.features[request.name], expected)
    assert batch.features["audio/tokens"].dtype == torch.bfloat16


def test_a_part_is_the_same_memory(shared_store: FeatureStore) -> None:
    features = load_resident(FeatureReader(shared_store, REQUESTS), np.arange(9), device=CPU)
    part = features.part(3, 7)
    assert len(part) == 4
    assert part.rows.features[VIDEO.name].data_ptr() == features.rows.features[VIDEO.name][3].data_ptr()


def test_the_memory_is_known_before_anything_is_read(shared_store: FeatureStore) -> None:
    features = load_resident(FeatureReader(shared_store, REQUESTS), np.arange(5), device=CPU)
    assert FeatureReader(shared_store, REQUESTS).num_bytes(5) == features.rows.num_bytes


def test_features_that_do_not_fit_are_refused_with_both_sizes_and_the_way_out(
    shared_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "available_bytes", lambda device: 4_000)
    with pytest.raises(TrainingError, match=r"take .*B and cpu has 4 kB free.*train\.loading=streamed"):
        load_resident(FeatureReader(shared_store, REQUESTS), np.arange(5), device=CPU)


@pytest.mark.parametrize(("shown_bytes", "lines"), [(1_000_000, 1), (10_000_000, 0)])
def test_loading_shows_how_far_it_is_where_it_is_much(
    shared_store: FeatureStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shown_bytes: int,
    lines: int,
) -> None:
    monkeypatch.setattr(resident, "_SHOWN_BYTES", shown_bytes)
    monkeypatch.setattr(resident, "_BLOCK_ROWS", 640)
    load_resident(FeatureReader(shared_store, REQUESTS), np.tile(np.arange(64), 20), device=CPU)
    said = capsys.readouterr().err
    assert said.count("took") == said.count("load features: 1/1 MB") == lines
