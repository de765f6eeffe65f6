"""A store that names its feature sets or constants by paths: nothing outside it is made, written or removed.

Verifying makes an empty twin of a store by its names and removes it again, and mending drops what is damaged: both
would follow a name like these.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.nodes import inside
from weldcache.cache.store import FeatureStore
from weldcache.errors import StoreError

Forge = Callable[[Callable[[dict[str, Any]], object]], None]


@pytest.mark.parametrize("kind", ["features", "constants"])
@pytest.mark.parametrize("how", ["absolute", "upwards", "upwards inside", "hidden", "backslash", "newline"])
def test_a_set_or_constant_named_by_a_path_is_refused(
    store: FeatureStore, forge: Forge, precious: Path, kind: str, how: str
) -> None:
    name = {
        "absolute": str(precious),
        "upwards": f"../../{precious.name}",
        "upwards inside": f"text/../../../{precious.name}",
        "hidden": ".git",
        "backslash": "..\\..\\x",
        "newline": "sensor\n",
    }[how]

    def rename(description: dict[str, Any]) -> None:
        entries = description["manifest"][kind]
        entries[name] = next(iter(entries.values()))

    forge(rename)
    with pytest.raises(StoreError, match="pattern"):
        FeatureStore.open(store.path)
    assert (precious / "chapter").read_text() == "years of work"


def test_verify_says_what_is_wrong_and_removes_nothing(
    weldcache: Callable[..., Any], store: FeatureStore, forge: Forge, precious: Path
) -> None:
    forge(lambda told: told["manifest"]["features"].update({str(precious): told["manifest"]["features"]["sensor"]}))
    for command in (["verify", "--no-sources"], ["verify", "--no-sources", "--mend"], ["info"]):
        outcome = weldcache(*command, "--cache", str(store.path), folder=store.path.parent)
        assert outcome.code == 1 and "what no store can hold" in outcome.err + outcome.out
    assert (precious / "chapter").exists()


@pytest.mark.parametrize("name", ["..", "a/../b", "/etc", "a//b", "", ".zarray", "a/.hidden", "a\0b", "ä"])
def test_no_other_name_becomes_a_path_either(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError):
        inside(tmp_path, name)
