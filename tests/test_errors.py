"""What the machine refuses is a sentence with the path, and an exit status that says whose fault it is."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import refusal_of


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 1),
        (errno.EDQUOT, 1),
        (errno.EROFS, 1),
        (errno.EACCES, 1),
        (errno.EIO, 1),
        (errno.ENAMETOOLONG, 2),
        (errno.ELOOP, 2),
        (errno.ENOTDIR, 2),
        (errno.ENOENT, 2),
        (errno.EXDEV, 1),
    ],
)
def test_the_system_s_refusals_name_the_path(number: int, code: int) -> None:
    refusal = refusal_of(OSError(number, os.strerror(number), "/data/runs/first"))
    assert refusal is not None and refusal.exit_code == code
    assert "/data/runs/first" in refusal.sentence and os.strerror(number)[1:] in refusal.sentence


def test_both_paths_of_a_renaming_are_named() -> None:
    with pytest.raises(OSError) as told:
        Path("/nowhere/a").rename("/nowhere/b")
    refusal = refusal_of(told.value)
    assert refusal is not None and "/nowhere/a" in refusal.sentence and "/nowhere/b" in refusal.sentence


def test_memory_that_cannot_be_had_says_how_much_was_asked_for() -> None:
    with pytest.raises(MemoryError) as told:
        np.empty(1 << 60, dtype=np.uint8)
    refusal = refusal_of(told.value)
    assert refusal is not None and refusal.exit_code == 1 and "EiB" in refusal.sentence


def test_depth_bytes_and_nul_are_bad_input() -> None:
    refusals = []
    for act in (lambda: "\udcfc".encode(), lambda: Path("a\0b").stat(), lambda: _recurse()):
        try:
            act()
        except (UnicodeEncodeError, ValueError, RecursionError) as error:
            refusals.append(refusal_of(error))
    assert [refusal is not None and refusal.exit_code for refusal in refusals] == [2, 2, 2]


def test_a_fault_of_the_program_is_none_of_these() -> None:
    assert refusal_of(ZeroDivisionError("oops")) is None
    assert refusal_of(ModuleNotFoundError("No module named 'weldcache.lost'")) is None
    assert refusal_of(ValueError("some value")) is None
    assert refusal_of(OSError("a sentence of some library")) is None


def _recurse() -> None:
    _recurse()


def test_a_torchvision_that_does_not_fit_is_told_as_such() -> None:
    """Transformers imports what is asked of it late, and says of any failure behind it that a module is not found."""
    error = ModuleNotFoundError("Could not import module 'ASTModel'. Are this object's requirements defined correctly?")
    error.__cause__ = RuntimeError("operator torchvision::nms does not exist")
    refusal = refusal_of(error)
    assert refusal is not None and "torchvision::nms" in refusal.sentence and "uninstall" in refusal.sentence
