"""Fingerprints change with what changes the numbers, and with nothing else."""

from weldcache.cache.provenance import ABSENT, differences, differences_told, library_versions
from weldcache.documents import fingerprint


def test_fingerprint_ignores_the_order_of_keys_only() -> None:
    first = {"video": {"size": 64, "mean": [0.5, 0.4]}, "audio": {}}
    assert fingerprint(first) == fingerprint({"audio": {}, "video": {"mean": (0.5, 0.4), "size": 64}})
    assert fingerprint(first) != fingerprint({"audio": {}, "video": {"mean": [0.4, 0.5], "size": 64}})
    assert fingerprint(first) != fingerprint({"audio": {}, "video": {"mean": [0.5, 0.4], "size": 64.5}})


def test_differences_name_every_leaf() -> None:
    mine = {"image": {"blocks": [2, 4], "backbone": {"hash": "a"}}, "video": {}}
    theirs = {"image": {"blocks": [2, 3], "backbone": {"hash": "a"}, "size": 64}, "video": {}}
    assert differences(mine, theirs) == [("image.blocks", [2, 4], [2, 3]), ("image.size", ABSENT, 64)]
    assert differences(mine, mine) == []


def test_versions_name_the_libraries() -> None:
    versions = library_versions()
    assert {"python", "weldcache", "torch", "transformers", "zarr"} <= versions.keys()


def test_differences_are_told_in_a_line_each_however_long_the_values() -> None:
    found = differences({"lr": 0.1, "keys": list(range(1000))}, {"lr": 0.5, "keys": [0]})
    keys, lr = differences_told(found, mine="there", theirs="now")
    assert lr == "lr: 0.1 there, 0.5 now"
    assert (
        keys.startswith("keys: [0, 1, 2,") and keys.endswith("... (1,000 entries) there, [0] now") and len(keys) < 120
    )
