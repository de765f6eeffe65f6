"""Settings files of a few bytes that would cost gigabytes or minutes: refused with their line, at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BOMBS = {
    "aliases": "train: {lr: &a [" + 9 * "x," + "], epochs: &b [" + 9 * "*a," + "], seed: [" + 9 * "*b," + "]}}",
    "an alias to itself": "train: &a [*a]",
    "brackets": "train: " + 100_000 * "[",
    "dashes": "train: " + 100_000 * "- ",
    "keys of keys": 100_000 * "? ",
    "digits": "train: {seed: " + 5_000 * "9" + "}",
    "size": "#" * (1 << 20),
    "a long key": "{" + 1_000 * "k" + ": 1}",
    "many faults": "features: {image: {blocks: [" + 1_000 * "[]," + "]}}",
    "many repeats": "features: {image: {blocks: [" + 1_000 * "x," + "]}}",
    "a long text": "train: {monitor: " + 100_000 * "x" + "}",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("command", ["config", "bench"])
def test_a_bomb_is_refused_in_a_short_sentence(
    weldcache: Callable[..., Any], tmp_path: Path, name: str, command: str
) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMBS[name])
    arguments = ["config", "show", "--config"] if command == "config" else ["bench"]
    outcome = weldcache(*arguments, "bomb.yaml", folder=tmp_path)
    assert outcome.code == 2 and "bomb.yaml" in outcome.err
    assert len(outcome.err) < 3_000 and "fault of weldcache" not in outcome.err


def test_an_override_is_no_way_around(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    for value in ("[&a x, *a]", 1_000 * "[", 5_000 * "9", "!!python/object/apply:os.system [ls]"):
        outcome = weldcache("config", "show", "--set", f"features.image.blocks={value}", folder=tmp_path)
        assert outcome.code == 2 and "fault of weldcache" not in outcome.err
