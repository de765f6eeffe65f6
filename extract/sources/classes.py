"""Classes as people write them: which writings mean the same, which mean normal, and which that nobody knows yet."""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ...cache.targets import DEFECT, LABEL, NORMAL, TargetSpec, TargetValue
from ...progress import say
from ...wording import shortened
from ..settings import DataSettings
from .source import Sample

GOOD = "good"  # means normal without being listed

_SHOWN = 5  # names in a message


class ClassSettings(DataSettings):
    """How the names of classes are read."""

    normal_classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (
            *("OK", "normal", "no defect", "no defects", "defect free", "without defects", "flawless", "sound"),
            *("acceptable", "passed", "gut", "in Ordnung", "i. O.", "fehlerfrei", "bon", "bueno", "buono", "норма"),
            *("良好", "正常", "合格", "无缺陷", "정상"),
        ),
        description="Classes that are normal besides good, in any writing; every other is a defect.",
    )


# What stands in a column of classes where nobody has looked at the sample yet.
_UNLABELLED = (
    *("unknown", "unlabelled", "unlabeled", "not labelled", "not labeled", "no label", "unclassified", "undefined"),
    *("unclear", "undecided", "to be determined", "tbd", "todo", "pending", "n/a", "na", "nan", "null", "none"),
    *("unbekannt", "unklar", "offen", "keine Angabe", "k. A.", "inconnu", "desconocido", "sconosciuto"),
    *("неизвестно", "未知", "未标注", "不明", "未分類"),
)

# Folders of all that is not normal, whose own folders are classes.
_DEFECTS = ("defect", "defects", "defective", "bad", "anomaly", "anomalies", "anomalous", "abnormal", "ng", "nok")

# What separates words. Everything else is part of one, also signs such as `<` that tell one class from another.
_BETWEEN_WORDS = re.compile(r"[\s_/\\.,:;()\[\]{}'\"|\x00-\x1f\x7f\u2010-\u2015-]+")


@lru_cache(maxsize=4096)
def words_of(written: str, *, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The words of a class's name, by which two writings are one class; words in `without` do not count.

    Names differ where people would tell them apart, in any script. Alike are capitals and small letters, the forms that
    Unicode calls compatible, whatever separates words, and `with` and `w`.
    """
    # Folding can undo a composition, and composing can undo a folding: the second round settles both.
    for _ in range(2):
        written = unicodedata.normalize("NFKC", written).casefold()
    words = [word for word in _BETWEEN_WORDS.split(written) if word]
    return tuple("w" if word == "with" else word for word in words if word not in without)


def is_one_of(written: str, names: Iterable[str], *, without: tuple[str, ...] = ()) -> bool:
    """Whether a class is one of `names`, in whatever writing."""
    words = words_of(written, without=without)
    return any(words == words_of(name, without=without) for name in names)


def is_unlabelled(written: str, *, without: tuple[str, ...] = ()) -> bool:
    """Whether it says that the class is not known, in which case the sample is neither normal nor a defect."""
    return is_one_of(written, _UNLABELLED, without=without)


def is_any_defect(written: str) -> bool:
    """Whether it says that something is a defect, and not which."""
    return is_one_of(written, _DEFECTS)


def classes_as_written(written: Sequence[str]) -> list[str | None]:
    """The class of each sample as somebody wrote it: a class has its first writing throughout. None where there is
    nothing, or a word for not knowing."""
    spelling: dict[tuple[str, ...], str] = {}
    class_of = {
        name: spelling.setdefault(words_of(name), name.strip()) if words_of(name) and not is_unlabelled(name) else None
        for name in dict.fromkeys(written)  # each writing once, the first one first
    }
    return [class_of[name] for name in written]


def targets_of_classes(written: Sequence[str], *, normal: Collection[str]) -> list[dict[str, TargetValue]]:
    """Class and label of each sample from its class as somebody wrote it; nothing where that is not known. Samples of a
    class share what is told of them.

    Where no class at all is normal there are no labels: classes of animals are no defects.
    """
    classes = classes_as_written(written)
    labels = {name: NORMAL if is_one_of(name, (GOOD, *normal)) else DEFECT for name in classes if name is not None}
    if NORMAL not in labels.values():
        labels = {}
    told: dict[str | None, dict[str, TargetValue]] = {
        name: {} if name is None else {"class": name} | ({"label": labels[name]} if labels else {})
        for name in set(classes)
    }
    return [told[name] for name in classes]


def tell_if_none_is_normal(place: Path, targets: Sequence[Mapping[str, TargetValue]]) -> None:
    """Say which classes there are where they give no labels, so that nothing can be called a defect."""
    names = sorted({str(known["class"]) for known in targets if "class" in known})
    if names and not any("label" in known for known in targets):
        told = shortened(names, most=_SHOWN)
        say(f"{place}: no class is normal of {told}; if one is, name it in data.normal_classes.")


def target_specs(samples: Sequence[Sample]) -> tuple[TargetSpec, ...]:
    """The targets `label` and `class`, as far as any sample has them; normal classes come first, then by name."""
    labels = {
        str(sample.targets["class"]): sample.targets.get("label") for sample in samples if "class" in sample.targets
    }
    classes = tuple(sorted(labels, key=lambda name: (labels[name] != NORMAL, name)))
    specs = (LABEL,) if any("label" in sample.targets for sample in samples) else ()
    return (*specs, TargetSpec("class", "int16", classes=classes)) if classes else specs


class ClassSource(ABC):
    """What sources share whose targets are `label` and `class`: they list their samples once."""

    @abstractmethod
    def list_samples(self) -> Sequence[Sample]:
        """As `Source.samples`."""

    def samples(self) -> Sequence[Sample]:
        return self._listed

    def targets(self) -> Sequence[TargetSpec]:
        return target_specs(self._listed)

    @cached_property
    def _listed(self) -> Sequence[Sample]:
        return self.list_samples()
