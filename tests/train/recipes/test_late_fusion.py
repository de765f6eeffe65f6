"""Late fusion as a recipe: the members' needs together, and each member fed and scored as if it were alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.train.data.samples import split_rows
from weldcache.train.recipes.causal_film.module import StandardisedCausalFilm
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.late_fusion import FusionMember, LateFusion, LateFusionRecipe, MeasuredLateFusion
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.recipes.reconstruction import VideoAutoencoderRecipe, VideoAutoencoderSettings
from weldcache.train.scoring import encode
from weldcache.train.settings import Precision
from weldcache.train.types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes

MakeFilm = Callable[..., tuple[CausalFilmRecipe, StandardisedCausalFilm]]


class Told(nn.Module):
    """A module that knows from which shapes it was built."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        self.factor = nn.Parameter(torch.ones(()))


class Summing:
    """Scores a row by the sum of the numbers in its sets, as far as they are present."""

    def __init__(
        self, *sets: str, optional: bool = False, constants: Sequence[str] = (), modality: str | None = None
    ) -> None:
        self._sets = sets
        self._optional = optional
        self._constants = constants
        self._modality = modality

    def needs(self) -> Needs:
        return Needs(
            tuple(FeatureRequest(name, "x", optional=self._optional) for name in self._sets),
            modalities={self._modality: self._sets} if self._modality else {},
            constants=tuple(self._constants),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return f"Make {' and '.join(missing)}."

    def build(self, shapes: Shapes) -> nn.Module:
        return Told(shapes)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Nothing."""

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        parts = []
        for request in self.needs().features:
            present = batch.present[request.feature_set] if request.optional else torch.tensor(True)
            parts.append(torch.where(present, batch.features[request.name].float(), -100.0))
        return {"sum": torch.stack(parts).sum(dim=0), "ones": torch.ones(len(parts[0]), 2)}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        total, other = encodings["sum"].mean(), encodings["sum"].max()
        return Losses(total, {"other": other}, {"ones": encodings["ones"]})

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(encodings["sum"])


def fusion(**members: Summing) -> MeasuredLateFusion:
    return MeasuredLateFusion([FusionMember(name, recipe, "float32") for name, recipe in members.items()])


def requested(recipe: Recipe) -> dict[str, bool]:
    return {request.name: request.optional for request in recipe.needs().features}


def test_it_asks_for_what_any_member_asks_for() -> None:
    recipe = fusion(a=Summing("s", "t", constants=["c"]), b=Summing("t", "u", constants=["d", "c"]))
    assert isinstance(recipe, Recipe)
    assert requested(recipe) == {"s/x": False, "t/x": False, "u/x": False}
    assert list(recipe.needs().constants) == ["c", "d"]


def test_a_set_is_optional_where_all_can_do_without() -> None:
    free, bound = Summing("s", "t", optional=True, modality="sound"), Summing("t", "u")
    recipe = fusion(a=free, b=bound)
    assert requested(recipe) == {"s/x": True, "t/x": False, "u/x": False}
    assert recipe.needs().modalities == {"sound": ("s", "t")}
    assert recipe.needs().dispensable == {}  # b cannot do without t
    other = Summing("v", optional=True, modality="sound")
    assert requested(fusion(a=free, b=other)) == {"s/x": True, "t/x": True, "v/x": True}
    assert fusion(a=free, b=other).needs().dispensable == {"sound": ("s", "t", "v")}


def test_what_one_member_cannot_do_without_is_not_dispensable_under_another_name() -> None:
    tokens, frames = Summing("tokens", optional=True, modality="video"), Summing("frames", modality="video")
    sound = Summing("sound", optional=True, modality="audio")
    recipe = fusion(a=tokens, b=frames, c=sound)
    assert recipe.needs().modalities == {"video": ("tokens", "frames"), "audio": ("sound",)}
    assert recipe.needs().dispensable == {"audio": ("sound",)}


@pytest.mark.parametrize("other", ["film", "autoencoder"])
def test_leaving_a_modality_out_changes_every_member_that_looks_at_it(
    make_film: MakeFilm, film_batch: Batch, other: str
) -> None:
    """Else what is reported without it still has it: the film's tokens are hidden, and its frames are not."""
    recipe, film = make_film()
    frames = torch.randn(len(film_batch), 3, 8, generator=torch.Generator().manual_seed(0))
    autoencoder = VideoAutoencoderRecipe(VideoAutoencoderSettings(hidden=8, bottleneck=2))
    beside, module = (
        make_film() if other == "film" else (autoencoder, autoencoder.build({"frames/embedding": (3, 8)}).eval())
    )
    members = [FusionMember("a", recipe, "float32"), FusionMember("b", beside, "float32")]
    fused, model = LateFusionRecipe(members), LateFusion([film, module]).eval()
    batch = film_batch.beside(Batch({"frames/embedding": frames}))
    whole = encode(fused, model, batch, precision="float32")
    found = fused.needs().dispensable
    assert list(found) == ["video", "audio", "image", "sensor"][0 if other == "film" else 1 :]
    for modality, feature_sets in found.items():
        hidden = encode(fused, model, batch, precision="float32", without=feature_sets)
        for place, member in enumerate(members):
            own = [name for name in whole if name.startswith(f"{place}/")]
            changes = any(not torch.equal(hidden[name], whole[name]) for name in own)
            assert changes == (modality in member.recipe.needs().modalities)


def test_rows_without_what_a_member_requires_are_left_out(
    toy_store: FeatureStore, write_features: Callable[..., None], make_film: MakeFilm
) -> None:
    toy_store.add_feature_set(
        FeatureSetSpec("frames", [ArraySpec("embedding", (3, 8), ("time", "dim"), "float32")], {})
    )
    num = len(toy_store.index)
    write_features(toy_store, "frames", list(range(num)), {"embedding": np.zeros((num, 3, 8))})
    for feature_set, row in (("frames", 41), ("audio", 42)):
        StoreWriter(toy_store).report(feature_set, row, Status.ABSENT, reason="no file")
    autoencoder = VideoAutoencoderRecipe(VideoAutoencoderSettings(hidden=8, bottleneck=2))
    recipe = LateFusionRecipe(
        [FusionMember("film", make_film()[0], "float32"), FusionMember("autoencoder", autoencoder, "float32")]
    )
    rows = split_rows(FeatureStore.open(toy_store.path), "val", recipe=recipe)
    assert rows.usable.tolist() == [40, *range(42, num)]
    assert {name: found.tolist() for name, found in rows.left_out.items()} == {"frames": [41]}
    assert {name: found.tolist() for name, found in rows.without.items()} == {"audio": [42]}


class Linear(Summing):
    """Its encodings are of the type that its arithmetic gives."""

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        return {"product": batch.features["s/x"].float() @ torch.ones(4, 2)}


@pytest.mark.parametrize("outside", ["float32", "bfloat16", "float16"])
def test_each_member_scores_in_its_own_arithmetic(outside: Precision) -> None:
    members = [FusionMember("a", Linear("s"), "float32"), FusionMember("b", Linear("s"), "bfloat16")]
    recipe = LateFusionRecipe(members)
    model = LateFusion([Told({}), Told({})]).eval()
    encodings = encode(recipe, model, Batch({"s/x": torch.ones(3, 4)}), precision=outside)
    assert [encodings[f"{place}/product"].dtype for place in (0, 1)] == [torch.float32, torch.bfloat16]


def test_each_member_is_built_from_its_own_shapes() -> None:
    recipe = fusion(a=Summing("s", constants=["c"]), b=Summing("t"))
    model = recipe.build({"s/x": (3,), "t/x": (5,), "c": (7,)})
    assert [member.shapes for member in model.members] == [{"s/x": (3,), "c": (7,)}, {"t/x": (5,)}]


def test_scores_loss_and_embeddings_by_hand() -> None:
    recipe = fusion(a=Summing("s"), b=Summing("s", "t"))
    model = recipe.build({"s/x": (), "t/x": ()})
    model.use(mean=[1.0, 2.0], std=[2.0, 10.0], weight=[0.25, 0.75])
    batch = Batch({"s/x": torch.tensor([1.0, 5.0]), "t/x": torch.tensor([1.0, 7.0])})
    encodings = recipe.encode(model, batch, None)
    assert all(len(encoding) == 2 for encoding in encodings.values())
    expected = [0.25 * (1 - 1) / 2 + 0.75 * (2 - 2) / 10, 0.25 * (5 - 1) / 2 + 0.75 * (12 - 2) / 10]
    prediction = recipe.predict(model, encodings)
    assert prediction.score.tolist() == pytest.approx(expected)
    assert prediction.outputs["members"].tolist() == [[0.0, 0.0], [2.0, 1.0]]
    losses = recipe.loss(model, encodings, {})
    assert losses.total.item() == pytest.approx(0.25 * 3 + 0.75 * 7)
    assert {name: loss.item() for name, loss in losses.terms.items()} == {"a": 3.0, "b": 7.0}
    assert list(losses.watched) == ["a/ones", "b/ones"]


def test_members_get_the_presence_that_they_expect() -> None:
    recipe = fusion(a=Summing("s", "t", optional=True), b=Summing("t"))
    model = recipe.build({"s/x": (), "t/x": ()})
    model.use(mean=[0.0, 0.0], std=[1.0, 1.0], weight=[1.0, 0.0])
    features = {"s/x": torch.tensor([0.0, 2.0]), "t/x": torch.tensor([5.0, 6.0])}
    batch = Batch(features, {"s": torch.tensor([False, True])})
    # t is there in every row, because b cannot do without; s is not.
    assert recipe.predict(model, recipe.encode(model, batch, None)).score.tolist() == [-95.0, 8.0]


def test_a_member_is_not_shown_what_it_never_saw() -> None:
    sound, both = Summing("s", optional=True, modality="sound"), Summing("s", "t", optional=True, modality="sound")
    members = [FusionMember("a", sound, "float32", frozenset({"sound"})), FusionMember("b", both, "float32")]
    recipe = LateFusionRecipe(members)
    model = recipe.build({"s/x": (), "t/x": ()})
    features = {name: torch.ones(2) for name in ("s/x", "t/x")}
    batch = Batch(features, dict.fromkeys(("s", "t"), torch.tensor([False, True])))
    for weight, expected in (([1.0, 0.0], [-100.0, -100.0]), ([0.0, 1.0], [-200.0, 2.0])):
        model.use(mean=[0.0, 0.0], std=[1.0, 1.0], weight=weight)
        assert recipe.predict(model, recipe.encode(model, batch, None)).score.tolist() == expected
    assert recipe.untrained() == frozenset()
    blind = [replace(member, untrained=frozenset({"sound"})) for member in members]
    assert LateFusionRecipe(blind).untrained() == {"sound"}


def test_advice_is_that_of_the_members_that_lack_something() -> None:
    recipe = fusion(a=Summing("s"), b=Summing("t", constants=["c"]), d=Summing("s"))
    assert recipe.advice(["s"], held=[]) == "Make s."
    assert recipe.advice(["s", "c"], held=["t"]) == "Make s. Make c."


def test_equal_and_unscaled_until_told() -> None:
    model = LateFusion([nn.Linear(1, 1), nn.Linear(1, 1)])
    scores = torch.tensor([[1.0, 3.0], [-2.0, 2.0]])
    assert torch.equal(model.standard(scores), scores) and model(scores).tolist() == [2.0, 0.0]


def test_standardised_and_weighted_by_hand() -> None:
    model = LateFusion([nn.Identity(), nn.Identity(), nn.Identity()])
    model.use(mean=[1.0, 10.0, -1.0], std=[2.0, 5.0, 0.5], weight=[0.5, 0.25, 0.25])
    scores = torch.tensor([[3.0, 20.0, -1.0], [1.0, 0.0, 1.0]])
    standard = model.standard(scores)
    assert standard.tolist() == [[1.0, 2.0, 0.0], [0.0, -2.0, 4.0]]
    assert model(standard).tolist() == pytest.approx([0.5 * 1 + 0.25 * 2 + 0.25 * 0, 0.5 * 0 + 0.25 * -2 + 0.25 * 4])


def test_a_row_does_not_depend_on_the_others() -> None:
    model = LateFusion([nn.Identity(), nn.Identity(), nn.Identity()])
    model.use(mean=[0.3, 0.1, 7.7], std=[0.9, 1.7, 0.3], weight=[0.2, 0.3, 0.5])
    scores = torch.randn(257, 3)
    assert torch.equal(model(scores), torch.cat([model(row) for row in scores.split(1)]))


def test_members_and_numbers_are_in_the_state() -> None:
    names = set(LateFusion([nn.Linear(2, 1), nn.Identity()]).state_dict())
    assert names == {"mean", "std", "weight", "members.0.weight", "members.0.bias"}
