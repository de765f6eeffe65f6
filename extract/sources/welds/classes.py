"""Classes of welds: the twelve of the welding data with their two-digit codes, and what else people call them."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from .. import classes
from ..classes import is_one_of, words_of

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

_NOUN = ("weld", "welds")  # says nothing in a category


def class_name_of(category: str, *, normal: Collection[str] = ()) -> str:
    """A category as the name of a class: `good` for one of `normal`, empty where it has no word.

    With and without the word `weld` it is one class: so are "Good", "good_weld" and "good weld".
    """
    words = words_of(category, without=_NOUN)
    letters = "".join(words)
    if not any(character.isalnum() for character in letters):
        return ""
    if is_one_of(category, normal, without=_NOUN):
        return GOOD
    return _NAMES_BY_LETTERS.get(letters) or "_".join(words)


def is_unlabelled(category: str) -> bool:
    """Whether a category says that the class is not known, in which case the weld is neither good nor a defect."""
    return classes.is_unlabelled(category, without=_NOUN)


_NAMES_BY_LETTERS = {name.replace("_", ""): name for name in CLASS_NAMES.values()}
