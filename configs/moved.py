"""Settings that are called otherwise than in an earlier version: what to write instead."""

from collections.abc import Mapping

_MOVED: Mapping[str, str] = {}
"""Former name of a setting or of a whole section -> its name now."""


def moved_to(key: str) -> str | None:
    """A sentence with the name of the former setting `key` now; None where there was none."""
    for former, now in _MOVED.items():
        if key == former or key.startswith(f"{former}."):
            return f"{key} is {now}{key.removeprefix(former)} now."
    return None
