"""A run's name, `MM-DD-YY-NNNN-CC`: the last two digits are the class code."""

import re

_RUN_NAME = re.compile(r"\d{2}-\d{2}-\d{2}-\d+-(\d{2})", re.ASCII)


def class_code_of(run: str) -> str | None:
    """The two-digit class code of a run, known or not; None where the name is not of that form."""
    found = _RUN_NAME.fullmatch(run)
    return found[1] if found else None
