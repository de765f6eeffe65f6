"""Classes of welds: the twelve of the welding data with their two-digit codes, and how people write classes."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from types import MappingProxyType

GOOD_CODE = "00"

CLASS_NAMES: Mapping[str, str] = MappingProxyType(
    {
        GOOD_CODE: "good",
        "01": "excessive_penetration",
        "02": "burnthrough",
        "03": "porosity",
        "04": "porosity_w_excessive_penetration",
        "05": "undercut",
        "06": "overlap",
        "07": "lack_of_fusion",
        "08": "excessive_convexity",
        "09": "spatter",
        "10": "warping",
        "11": "crater_cracks",
    }
)

GOOD = CLASS_NAMES[GOOD_CODE]
DEFECT_CODES: tuple[str, ...] = tuple(code for code in CLASS_NAMES if code != GOOD_CODE)

# What stands in a column of classes where nobody has looked at the weld yet.
_UNLABELLED = (
    *("unknown", "unlabelled", "unlabeled", "not labelled", "not labeled", "no label", "unclassified", "undefined"),
    *("unclear", "undecided", "to be determined", "tbd", "todo", "pending", "n/a", "na", "nan", "null", "none"),
    *("unbekannt", "unklar", "offen", "keine Angabe", "k. A.", "inconnu", "desconocido", "sconosciuto"),
    *("неизвестно", "未知", "未标注", "不明", "未分類"),
)

# What separates words. Everything else is part of one, also signs such as `<` that tell one class from another.
_BETWEEN_WORDS = re.compile(r"[\s_/\\.,:;()\[\]{}'\"|\x00-\x1f\x7f\u2010-\u2015-]+")


def class_name_of(category: str, *, normal: Collection[str] = ()) -> str:
    """A category as the name of a class: `good` for one of `normal`, empty where it has no word.

    Names differ where people would tell them apart, in any script. Alike are capitals and small letters, the forms that
    Unicode calls compatible, whatever separates words, `with` and `w`, and with and without the word `weld`: "Good",
    "good_weld" and "good weld" are one class.
    """
    words = _words(category)
    letters = "".join(words)
    if not any(character.isalnum() for character in letters):
        return ""
    if any(words == _words(name) for name in normal):
        return GOOD
    return _NAMES_BY_LETTERS.get(letters) or "_".join(words)


def is_unlabelled(category: str) -> bool:
    """Whether a category says that the class is not known, in which case the weld is neither good nor a defect."""
    return _words(category) in [_words(name) for name in _UNLABELLED]


@lru_cache(maxsize=4096)
def _words(category: str) -> tuple[str, ...]:
    # Folding can undo a composition, and composing can undo a folding: the second round settles both.
    for _ in range(2):
        category = unicodedata.normalize("NFKC", category).casefold()
    words = [word for word in _BETWEEN_WORDS.split(category) if word]
    return tuple("w" if word == "with" else word for word in words if word not in ("weld", "welds"))


_NAMES_BY_LETTERS = {name.replace("_", ""): name for name in CLASS_NAMES.values()}
