"""The judge of classifiers: how often the class is right, beside always giving the most frequent one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NotRequired

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ....cache.arrays import oracles_among
from ....cache.targets import NORMAL
from ....errors import MetricError
from ....train.data.features import targets_of
from ....train.recipes.recipe import MODALITY_SHARES
from ....train.runs.documents import Line
from ....train.runs.reports import Headline
from ....train.runs.trained_run import TrainedRun
from ...judge import Background, Calibration, Judgement, Told
from ...judging import kept_calibration
from ...scores import sample_columns, spreadsheet_cells
from ...scoring import Scored
from ...section import Section
from ...trials.measure import Measure
from ..alike import warnings_and_training
from ..anomaly.controls.files import file_metadata_of_parts
from ..probabilities import section_of_logits, temperature_of
from .attention import attention_section
from .caveats import caveats
from .controls import ClassControl, Classes, class_controls, permuted_classes
from .figures import ClassAssessment, assess_classes
from .measure import ClassificationMeasure
from .modalities import dealt_modalities
from .normal_or_not import normal_or_not, normal_or_not_section
from .oracles import oracle_controls
from .predicted_values import PredictedValues, predicted_values, targets_predicted
from .samples import sample_sections
from .sections import class_sections


class ClassCalibration(Calibration):
    """What outputs are read by.

    Attributes:
        classes: that each logit stands for.
        temperature: by what logits are divided so that validation is the likeliest; None where it tells none.
            Former versions did not tell.
    """

    classes: list[Line]
    temperature: NotRequired[float | None]


_HEADLINE = (
    Headline("accuracy", "accuracy", control="majority_accuracy"),
    Headline("macro_f1", "macro F1", control="majority_macro_f1"),
    Headline("num_samples", "samples", told_in=("page",)),
)


@dataclass(frozen=True)
class ClassificationJudge:
    """Judges by accuracy and macro F1, from the output `logits`, (row, class), of the averaged weights."""

    task: str = "classification"
    headline: Sequence[Headline] = _HEADLINE
    measure: Measure = field(default_factory=ClassificationMeasure)
    kept_as: type[ClassCalibration] = ClassCalibration
    outputs: tuple[str, ...] = ("logits",)
    of_scores: bool = False

    def calibrate(self, background: Background) -> ClassCalibration:
        names, folder = _classes_of(background), background.run.folder
        # Runs of former versions do not tell in their manifest which classes they learned, but here they did.
        kept = kept_calibration(self, folder)
        if kept is not None and kept["classes"] != names:
            raise MetricError(
                f"The classes of {background.store.path} are not those that {folder.path} was trained on: train again."
            )
        return ClassCalibration(
            task=self.task,
            rests_on=background.rests_on,
            classes=names,
            temperature=_validation_temperature(background, num_classes=len(names)),
        )

    def assess(self, test: Scored, calibration: ClassCalibration, *, background: Background) -> Judgement:
        names, logits = calibration["classes"], test.outputs["logits"]
        _require_as_many(logits, num_classes=len(names))
        classes, predicted = _codes(background), logits.argmax(axis=1).astype(np.int64)
        true, train = classes[test.rows.usable], classes[background.seen.train]
        found = replace(
            assess_classes(true, predicted, train=train, names=names, groups=test.table.groups),
            controls=(*_controls(true, predicted, test, background), *_oracles(true, predicted, test, background)),
            permutation=permuted_classes(true, predicted, groups=test.table.groups, seed=background.settings.seed),
            oracles=oracles_among(background.run.recipe.needs().feature_sets),
            modalities=dealt_modalities(
                true,
                predicted,
                test.deal_out(np.random.default_rng(background.settings.seed)),
                groups=test.table.groups,
            ),
            predicted=tuple(_predicted(test, background)),
        )
        warnings, training = warnings_and_training(test, background, caveats(found), headline=self.headline)
        shares = softmax(logits, axis=1)
        samples = sample_sections(test.table, true, shares, names)
        # A calibration of a former version does not tell the temperature, and rests on this same validation.
        temperature = (
            calibration["temperature"]
            if "temperature" in calibration
            else _validation_temperature(background, num_classes=len(names))
        )
        probabilities = section_of_logits(logits, true, temperature=temperature)
        return Judgement(
            sections=class_sections(
                found,
                warnings=warnings,
                training=training,
                further=[*_normal_or_not(shares, test, background), *_attention(true, found, names, test, background)],
                samples=samples,
                probabilities=[probabilities],
            ),
            warnings=warnings,
            table=test.table,
            columns={
                **sample_columns(test.table),
                "predicted": spreadsheet_cells([names[each] for each in predicted]),
                "confidence": shares.max(axis=1).tolist(),
                "calibrated_confidence": [""] * len(true)
                if temperature is None
                else softmax(logits / temperature, axis=1).max(axis=1).tolist(),
            },
            truth=true,
            answers=predicted.astype(np.float64),
        )

    def tell(self, scored: Scored, calibration: ClassCalibration | None, *, run: TrainedRun) -> Told:
        logits = scored.outputs["logits"]
        names = run.manifest.get("classes", {}).get("class") or (calibration or {"classes": []})["classes"]
        if logits.shape[1] != len(names):
            raise MetricError(
                f"The model tells {logits.shape[1]} classes apart, and {run.folder.path} names {len(names)}: train "
                "again."
            )
        shares = softmax(logits, axis=1)
        temperature = None if calibration is None else calibration.get("temperature")
        return Told(
            columns={
                "class": [names[code] for code in logits.argmax(axis=1).tolist()],
                "confidence": shares.max(axis=1, initial=0).tolist(),
                "calibrated_confidence": [None] * len(logits)
                if temperature is None
                else softmax(logits / temperature, axis=1).max(axis=1, initial=0).tolist(),
                **{f"probability_{name}": share.tolist() for name, share in zip(names, shares.T, strict=True)},
            },
            alarms=[False] * len(logits),
        )


def _controls(true: Classes, predicted: Classes, test: Scored, background: Background) -> tuple[ClassControl, ...]:
    codes, index = _codes(background), background.store.index
    known = background.known_beside(test.rows.usable)
    known = known[codes[known] >= 0]
    parts = (test.rows.usable, background.seen.train)
    files, train_files = file_metadata_of_parts(background.store, parts, recipe=background.run.recipe)
    return class_controls(
        true,
        predicted,
        judged=index.select(test.rows.usable),
        train=index.select(background.seen.train),
        train_classes=codes[background.seen.train],
        known=index.select(known),
        known_classes=codes[known],
        files=files,
        train_files=train_files,
    )


def _oracles(true: Classes, predicted: Classes, test: Scored, background: Background) -> Iterator[ClassControl]:
    index, train = background.store.index, background.seen.train
    return oracle_controls(
        true,
        predicted,
        judged=index.select(test.rows.usable),
        train=index.select(train),
        train_classes=_codes(background)[train],
    )


def _predicted(test: Scored, background: Background) -> Iterator[PredictedValues]:
    index = background.store.index
    names = targets_predicted(background.run.recipe.needs().outputs, index)
    return predicted_values(
        test.further(names),
        judged=index.select(test.rows.usable),
        train=index.select(background.seen.train),
        seed=background.settings.seed,
    )


def _normal_or_not(shares: NDArray[np.floating], test: Scored, background: Background) -> Iterator[Section]:
    """No section where there are no two kinds to tell apart."""
    classes, labels = _codes(background), background.store.index.labels
    normal = np.isin(np.arange(shares.shape[1]), classes[labels == NORMAL])
    found = normal_or_not(
        shares, labels[test.rows.usable].astype(np.int64), normal=normal, groups=list(test.table.groups)
    )
    if found is not None:
        yield normal_or_not_section(found)


def _attention(
    true: Classes, found: ClassAssessment, names: Sequence[str], test: Scored, background: Background
) -> Iterator[Section]:
    """No section of a model that does not tell how much each modality has a part in what it predicts."""
    needs = background.run.recipe.needs()
    if MODALITY_SHARES in needs.outputs:
        shares = test.further([MODALITY_SHARES])[MODALITY_SHARES]
        yield attention_section(shares, true, modalities=list(needs.modalities), by_class=found.by_class, names=names)


def _require_as_many(logits: NDArray[np.floating], *, num_classes: int) -> None:
    if logits.shape[1] != num_classes:
        raise MetricError(
            f"The model tells {logits.shape[1]} classes apart, and the data set has {num_classes}: train again."
        )


def _validation_temperature(background: Background, *, num_classes: int) -> float | None:
    logits = background.validation.outputs["logits"]
    _require_as_many(logits, num_classes=num_classes)
    return temperature_of(logits, _codes(background)[background.validation.rows.usable])


def _codes(background: Background) -> Classes:
    """The class of each row of the store by its number; -1 where it is not known."""
    return targets_of(background.store)["class"].astype(np.int64)


def _classes_of(background: Background) -> list[str]:
    """Names of the classes in the order of their numbers.

    Raises:
        MetricError: if the data set does not name its classes.
    """
    target = background.store.index.targets.get("class")
    if target is None or target.spec.classes is None:
        raise MetricError(
            f"{background.store.path} names no classes, so that nothing can be held against a classifier."
        )
    return list(target.spec.classes)
