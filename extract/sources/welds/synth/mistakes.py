"""Mistakes of a data set on purpose: each is one that `weldcache audit` finds, and every recording in it is whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import UInt8

from ..classes import GOOD_CODE
from .plan import CODE_IN_PICTURE, SynthPlan
from .roster import Weld

_CODE_SHARE = 0.95  # of a photograph's height
_QUIET = 4  # modules around a code that readers ask for
_THIN, _THICK = 3, 7  # mm


def with_mistakes(welds: Sequence[Weld], *, plan: SynthPlan) -> list[Weld]:
    """The welds of a plan with the mistakes that it asks for."""
    made = list(welds)
    for name in plan.plant:
        if name != CODE_IN_PICTURE:  # which the photographs have, and the list of welds has not
            made = _MISTAKES[name](made)
    return made


def _duplicate(welds: Sequence[Weld]) -> list[Weld]:
    """The first sound weld of test has the recordings of the first one of train."""
    first, second = _first_sound(welds, "train"), _first_sound(welds, "test")
    return [_recorded_as(weld, first) if weld is second else weld for weld in welds]


def _group_in_two_parts(welds: Sequence[Weld]) -> list[Weld]:
    """The first sound weld of test was made in the session of the first one of train."""
    first, second = _first_sound(welds, "train"), _first_sound(welds, "test")
    moved = replace(second, session=first.session, directory=first.directory)
    return [moved if weld is second else weld for weld in welds]


def _val_is_test(welds: Sequence[Weld]) -> list[Weld]:
    """Every weld of val has the recordings of one of test of its class."""
    rest = {code: [weld for weld in welds if weld.split == "test" and weld.code == code] for code in _codes(welds)}
    made = []
    for weld in welds:
        others = rest[weld.code]
        made.append(_recorded_as(weld, others.pop(0)) if weld.split == "val" and others else weld)
    return made


def _one_class_test(welds: Sequence[Weld]) -> list[Weld]:
    """Test has no defect."""
    return [weld for weld in welds if weld.split != "test" or weld.code == GOOD_CODE]


def _label_in_attribute(welds: Sequence[Weld]) -> list[Weld]:
    """Defects are on thin plate, sound welds on thick."""
    return [
        replace(weld, settings=replace(weld.settings, thickness_mm=_THICK if weld.code == GOOD_CODE else _THIN))
        for weld in welds
    ]


def _codes(welds: Sequence[Weld]) -> set[str]:
    return {weld.code for weld in welds}


def _first_sound(welds: Sequence[Weld], split: str) -> Weld:
    return next(weld for weld in welds if weld.split == split and weld.code == GOOD_CODE)


def _recorded_as(weld: Weld, other: Weld) -> Weld:
    """A weld under its own name, in its own part, whose recordings are those of another, byte for byte."""
    return replace(other, split=weld.split, directory=weld.directory, run=weld.run, session_welds=weld.session_welds)


_MISTAKES: Mapping[str, Callable[[Sequence[Weld]], list[Weld]]] = MappingProxyType(
    {
        "duplicate": _duplicate,
        "group-in-two-parts": _group_in_two_parts,
        "val-is-test": _val_is_test,
        "one-class-test": _one_class_test,
        "label-in-attribute": _label_in_attribute,
    }
)


def draw_code(pixels: UInt8[np.ndarray, "height width *channel"], *, text: str) -> None:
    """Paste a QR code of `text` into the upper left corner, as on a sheet that was photographed with the part."""
    modules = np.pad(cv2.QRCodeEncoder.create().encode(text), _QUIET, constant_values=255)
    scale = max(1, int(_CODE_SHARE * pixels.shape[0]) // len(modules))
    code = np.kron(modules, np.ones((scale, scale), dtype=np.uint8))[: pixels.shape[0], : pixels.shape[1]]
    pixels[: code.shape[0], : code.shape[1]] = code if pixels.ndim == 2 else code[..., np.newaxis]
