"""The recipe: embeddings in which samples of one class are near one another, and the class that the nearest have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ....cache.targets import UNKNOWN
from ....errors import SettingsError
from ...nn.augmentation import drop_modalities, mix_rows, symmetric_beta
from ...nn.standardise import ChannelStatistics, Standardise
from ...types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from ..linear_probe import TARGET, classes_predicted, num_classes_of
from ..recipe import MODALITY_SHARES
from ..vectors import VectorRecipe, VectorSettings
from .loss import supervised_contrast
from .network import CrossAttentionFusion, SeriesEncoder, SupConNetwork, TokenHead, Tokens
from .settings import SupConSettings


class SupConRecipe:
    """Supervised contrast and cross-entropy on what up to four modalities come to; any of them may be missing."""

    def __init__(self, settings: SupConSettings) -> None:
        # Of arrays that are still to be chosen, the usual ones: a recipe is asked for its task before there is a store.
        self._settings = settings.for_store(())
        self._arrays = {
            modality: VectorRecipe(VectorSettings(name=settings.name, array=array), setting=f"recipe.{modality}")
            for modality, array in self._settings.arrays.items()
        }
        for array in self._arrays.values():
            array.pooled = False

    def needs(self) -> Needs:
        """All arrays, any of which a row may lack where there are several, and the class of each training row."""
        each = [array.needs() for array in self._arrays.values()]
        sets = [name for needs in each for name in needs.feature_sets]
        needs = Needs.of_all(each, optional=sets if len(each) > 1 else ())
        modalities = {name: array.needs().feature_sets for name, array in self._arrays.items()}
        return replace(
            needs,
            modalities=modalities,
            hidden=tuple(modalities) if self._settings.modality_dropout > 0 else (),
            measures=(*(request.name for request in needs.features), TARGET),
            targets=(TARGET,),
            outputs=("logits", MODALITY_SHARES),
        )

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return (
            "Choose features that are there with --set recipe.video=..., recipe.image, recipe.audio and recipe.sensor, "
            "each <feature set>/<array> or null to do without, or run `weldcache extract` with these among "
            "extract.features."
        )

    def build(self, shapes: Shapes) -> SupConNetwork:
        """As wide as the arrays, and a class for each that the data set names."""
        settings = self._settings
        channels = {name: array.width(shapes) for name, array in self._arrays.items()}
        heads: dict[str, nn.Module] = {}
        for name, array in self._arrays.items():
            if name == "sensor":
                heads[name] = SeriesEncoder(
                    channels[name],
                    width=settings.sensor_width,
                    layers=settings.sensor_layers,
                    heads=settings.sensor_heads,
                    stride=settings.sensor_stride,
                    dropout=settings.dropout,
                    to=settings.width,
                )
            else:
                copies = prod(shapes[array.array][:-1]) if self._joins(name) else 1
                heads[name] = TokenHead(copies * channels[name], width=settings.width)
        return SupConNetwork(
            heads,
            channels=channels,
            fusion=CrossAttentionFusion(
                tuple(self._arrays),
                width=settings.width,
                num_tokens=settings.fusion_tokens,
                num_heads=settings.num_heads,
                dropout=settings.dropout,
            ),
            width=settings.width,
            projection=settings.projection,
            num_classes=num_classes_of(shapes),
            num_neighbours=settings.neighbours,
        )

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Mean and deviation of each channel over all training rows.

        Raises:
            SettingsError: if these are of one class, or fewer than are to vote.
            TrainingError: if a number is not finite.
        """
        assert isinstance(model, SupConNetwork)
        statistics = {name: ChannelStatistics(len(_of(model, name).mean)) for name in self._arrays}
        counts = torch.zeros(model.classes.out_features, dtype=torch.long)
        for batch in train:
            for name, array in self._arrays.items():
                values, real = array.vectors_there(batch)
                learned = values[real]
                array.require_finite(learned)
                statistics[name].add(learned)
            classes = batch.targets[TARGET].long().cpu()
            counts += torch.bincount(classes[classes != UNKNOWN], minlength=len(counts))
        self._require_classes(counts)
        for name, seen in statistics.items():
            _of(model, name).use(seen)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Embeddings, the vectors that are compared, logits, and how much each modality moved; with a generator, as in
        training, rows are mixed with those before them, to `shares`, and modalities are hidden."""
        assert isinstance(model, SupConNetwork)
        inputs = {name: self._tokens(name, model, batch) for name in self._arrays}
        shares = torch.ones(len(batch), device=batch.device)
        if generator is not None and self._settings.mixup > 0:
            shares = symmetric_beta(len(batch), alpha=self._settings.mixup, generator=generator)
            inputs, shares = _mixed(inputs, shares=shares)
        if generator is not None and self._settings.modality_dropout > 0:
            there = {name: tokens.there for name, tokens in inputs.items()}
            left = drop_modalities(there, probability=self._settings.modality_dropout, generator=generator)
            inputs = {
                name: replace(tokens, real=tokens.real & left[name].unsqueeze(1)) for name, tokens in inputs.items()
            }
        fused = model(inputs)
        compared = nn.functional.normalize(model.projection(fused.embedding).float(), dim=1)
        return {
            "embedding": fused.embedding.float(),
            "compared": compared,
            "logits": model.classes(fused.embedding).float(),
            "moved": fused.shares,
            "shares": shares,
        }

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """The contrast, and the cross-entropy of the rows whose class is known; the embedding is watched."""
        settings, logits = self._settings, encodings["logits"]
        classes = _class_shares(targets[TARGET].long(), encodings["shares"], num_classes=logits.shape[1])
        contrast = supervised_contrast(
            encodings["compared"],
            classes,
            temperature=settings.temperature,
            hard_negatives=settings.hard_negatives,
        )
        lost = -(classes * logits.log_softmax(dim=1)).sum()
        entropy = lost / classes.sum().clamp(min=torch.finfo(lost.dtype).tiny)
        return Losses(
            contrast + settings.class_weight * entropy,
            {"contrast": contrast, "class": entropy},
            {"embedding": encodings["embedding"]},
        )

    def remember(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> None:
        """Keep the embeddings and classes of all training rows whose class is known: they vote."""
        assert isinstance(model, SupConNetwork)
        classes = targets[TARGET].long()
        known = classes != UNKNOWN
        model.voters.fill(encodings["embedding"][known])
        num_classes = model.classes.out_features
        model.voter_classes = nn.functional.one_hot(classes[known], num_classes).bool()

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        assert isinstance(model, SupConNetwork)
        by_head = self._settings.answer == "head"
        logits = encodings["logits"] if by_head else model.votes(encodings["embedding"])
        return classes_predicted(logits, {MODALITY_SHARES: encodings["moved"]})

    def _joins(self, modality: str) -> bool:
        """Whether all vectors of a row are looked at as one, one behind the other."""
        return modality == "image" and self._settings.views == "concat"

    def _tokens(self, modality: str, model: SupConNetwork, batch: Batch) -> Tokens:
        """What a batch shows of a modality, in units of its spread; zeros, which are the mean, where there is none."""
        values, real = self._arrays[modality].vectors_there(batch)
        # Not a product with the mask: what padding holds may be infinite.
        values = _of(model, modality)(values).masked_fill(~real.unsqueeze(-1), 0.0)
        values, real = values.reshape(len(values), -1, values.shape[-1]), real.reshape(len(real), -1)
        if modality != "image" or self._settings.views == "each":
            return Tokens(values, real)
        there = real.any(dim=1, keepdim=True)
        if self._joins(modality):
            return Tokens(values.flatten(1).unsqueeze(1), there)
        if self._settings.views == "mean":
            return Tokens((values.sum(dim=1) / real.sum(dim=1, keepdim=True).clamp(min=1)).unsqueeze(1), there)
        largest = values.masked_fill(~real.unsqueeze(-1), -torch.inf).amax(dim=1)
        return Tokens(largest.where(there, 0.0).unsqueeze(1), there)

    def _require_classes(self, counts: Tensor) -> None:
        """Raises SettingsError where there is nothing to tell apart."""
        if torch.count_nonzero(counts) < 2:
            raise SettingsError(
                "All samples to train on are of one class, so there is nothing to tell apart. Make a split whose "
                "training has all classes, `weldcache split supervised --stratify class`, and train by it: --set "
                "train.split=supervised."
            )
        if counts.sum() < self._settings.neighbours:
            raise SettingsError(
                f"recipe.neighbours is {self._settings.neighbours}, and there are {int(counts.sum())} samples to train "
                "on: ask fewer neighbours."
            )


def _of(model: SupConNetwork, modality: str) -> Standardise:
    standardise = model.standardise[modality]
    assert isinstance(standardise, Standardise)
    return standardise


def _mixed(
    inputs: Mapping[str, Tokens], *, shares: Float[Tensor, " batch"]
) -> tuple[dict[str, Tokens], Float[Tensor, " batch"]]:
    """Each row, to its share, mixed with the row before it, alike in all modalities, and the shares then: a row that
    lacks a modality, or whose partner does, stays as it is."""
    complete = torch.stack([tokens.there & tokens.there.roll(1) for tokens in inputs.values()]).all(dim=0)
    shares = shares.where(complete, 1.0)
    mixed = {
        name: replace(tokens, values=mix_rows(tokens.values, shares=shares, real=tokens.real))
        for name, tokens in inputs.items()
    }
    return mixed, shares


def _class_shares(
    classes: Tensor, shares: Float[Tensor, " batch"], *, num_classes: int
) -> Float[Tensor, "batch classes"]:
    """How much of each class a row is, which is to its share mixed with the row before it; zeros where either is not
    known."""
    known = classes != UNKNOWN
    own = nn.functional.one_hot(classes.clamp(min=0), num_classes).float()
    mixed = shares.unsqueeze(1) * own + (1 - shares).unsqueeze(1) * own.roll(1, dims=0)
    partner_known = known.roll(1) | (shares == 1)
    return mixed * (known & partner_known).unsqueeze(1)
