"""JSON in a store that is meant to exhaust or confuse its reader: too deep, numbers without end, a key twice, NaN."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.outcome import read_record
from weldcache.cache.verification.verify import verify_store
from weldcache.errors import StoreError


def before_the_end(text: str, added: str) -> str:
    """A JSON object with one more entry."""
    return f"{text.rstrip().rstrip('}')}, {added}" + "}" * (len(text.rstrip()) - len(text.rstrip().rstrip("}")))


BOMBS: dict[str, Callable[[str], str]] = {
    "deep lists": lambda text: before_the_end(text, '"x": ' + "[" * 100_000 + "]" * 100_000),
    "deep objects": lambda text: before_the_end(text, '"x": ' + '{"a":' * 5_000 + "1" + "}" * 5_000),
    "deep and closed early": lambda text: "[" * 1_000_000,
    "a number of 5,000 digits": lambda text: before_the_end(text, '"x": ' + "9" * 5_000),
    "a key twice": lambda text: text.replace('"zarr_format"', '"zarr_format": 3, "zarr_format"', 1),
    "not a number": lambda text: before_the_end(text, '"x": NaN'),
    "infinity": lambda text: before_the_end(text, '"x": -Infinity'),
    "more than 16 MB": lambda text: before_the_end(text, '"x": "' + "x" * (17 << 20) + '"'),
    "half a character": lambda text: before_the_end(text, '"x": "\\ud800"'),
    "no object": lambda text: "[]",
    "nothing": lambda text: "",
    "not UTF-8": lambda text: text + "\udcff",
}
# Sound JSON, of which only readers complain that know what, and how much of it, belongs there.
SOUND = ("half a character", "more than 16 MB")


def drop(path: Path, bomb: str) -> None:
    text = (
        path.read_text() if path.exists() else '{"zarr_format": 3, "node_type": "group", "attributes": {"errors": 0}}'
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(BOMBS[bomb](text).encode(errors="surrogateescape"))


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("node", [".", "index/keys", "constants/text/prompt"])
def test_a_store_with_it_is_refused_in_a_sentence(store: FeatureStore, node: str, bomb: str) -> None:
    drop(store.path / node / "zarr.json", bomb)
    with pytest.raises(StoreError, match=r"zarr\.json|index|constant"):
        FeatureStore.open(store.path).constant("text/prompt")


@pytest.mark.parametrize("bomb", BOMBS)
def test_verify_tells_of_it(store: FeatureStore, bomb: str) -> None:
    for node in ("status/sensor", "features/sensor/values", "features"):
        drop(store.path / node / "zarr.json", bomb)
    found = {
        finding.part
        for check in verify_store(FeatureStore.open(store.path))
        for finding in check.findings
        if finding.severity == "error"
    }
    assert found >= {"status/sensor", "features/sensor/values", "features"}


@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if bomb not in SOUND])
def test_a_record_of_a_verification_with_it_counts_as_none(store: FeatureStore, bomb: str) -> None:
    drop(store.path / "verification/zarr.json", bomb)
    with pytest.raises(StoreError, match=r"verification/zarr\.json is not what `weldcache verify` left"):
        read_record(store.path)


def test_commands_say_it(weldcache: Callable[..., Any], store: FeatureStore) -> None:
    drop(store.path / "zarr.json", "deep lists")
    for command in (["info"], ["export", "--to", "x.h5"]):
        outcome = weldcache(*command, "--cache", str(store.path), folder=store.path.parent)
        assert outcome.code == 1 and "zarr.json is damaged" in outcome.err
