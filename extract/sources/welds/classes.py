"""Classes of welds: the twelve of the welding data with their two-digit codes, what else people call them, and what can
be set of how they are read.
"""

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...settings import SOURCE
from .. import classes
from ..classes import ClassSettings, is_one_of, words_of
from ..group_split import SplitSettings

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
_RUN_NAME = re.compile(r"\d{2}-\d{2}-\d{2}-\d+-(\d{2})", re.ASCII)  # MM-DD-YY-NNNN-CC


class WeldsSettings(SplitSettings, ClassSettings):
    """How a data set of welds is organised and read."""

    lists_new: ClassVar[str] = "weldcache.extract.sources.welds.new:new_welds"

    source: str = Field("welds", description=SOURCE)
    layout: Literal["auto", "manifest", "folders"] = Field(
        "auto",
        description="How a folder of welds is organised: with a manifest.csv, as good_weld/ and defect_data_weld/ "
        "folders, or whichever is found.",
    )
    unlabelled: Literal["refuse", "leave_out"] = Field(
        "refuse",
        description="What is done about a CATEGORY such as unknown or n/a, which is neither normal nor a defect: the "
        "manifest is refused, or its welds of that kind are left out (manifest layout only).",
    )
    run_codes: Literal["auto", "check", "ignore"] = Field(
        "auto",
        description="Whether the last two digits of a run called MM-DD-YY-NNNN-CC are held against CATEGORY, which is "
        "what counts: check: a contradiction is refused; ignore: they mean something else; auto: check where more than "
        "nine in ten bear out that they are class codes (manifest layout only).",
    )
    further_channels: dict[Annotated[str, Field(min_length=1)], Annotated[float, Field(gt=0)]] = Field(
        {},
        description="Further columns of the machine's files that are read, each with the largest magnitude that is a "
        "measurement, such as {Robot Speed: 300}.",
    )


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


def class_code_of(run: str) -> str | None:
    """The last two digits of a run's name, a known class's or not; None where the name is not of the usual form."""
    found = _RUN_NAME.fullmatch(run)
    return found[1] if found else None


_NAMES_BY_LETTERS = {name.replace("_", ""): name for name in CLASS_NAMES.values()}
