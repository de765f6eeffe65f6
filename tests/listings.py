"""Listings of samples without a fault, into which a test of the audit plants one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import SourceFile
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.evaluate.audit.listing import Listing
from weldcache.findings import Check
from weldcache.tests.toy import index_of

Columns = dict[str, Any]


def columns_of(*, seed: int = 0) -> Columns:
    """Columns of 40 normals to train on, and of 30 normals and 30 defects to validate and to test on."""
    generator = np.random.default_rng(seed)
    parts = ["train"] * 40 + ["val"] * 60 + ["test"] * 60
    labels = [0] * 40 + [0, 1] * 60
    return {
        "keys": [f"{row:03d}" for row in range(160)],
        "splits": parts,
        "groups": [f"{part}-{row // 2 % 6}" for row, part in enumerate(parts)],
        "class_names": ["crack" if label else "good" for label in labels],
        "labels": labels,
        "attributes": {
            "thickness": generator.choice([3.0, 5.0, 7.0], 160).tolist(),
            "current": generator.normal(200, 10, 160).tolist(),
            "steel": generator.choice(np.array(["A", "B"]), 160).tolist(),
        },
    }


def listing_of(columns: Columns, *, digests: Sequence[frozenset[str]] | None = None, **further: Any) -> Listing:
    """A listing of these columns; where not told, no two samples share a file."""
    contents = [frozenset({f"film {key}", f"sound {key}"}) for key in columns["keys"]] if digests is None else digests
    return Listing(
        "there", "part", index_of(**columns), lambda: contents, lambda: [frozenset()] * len(contents), **further
    )


def counts(check: Check) -> Mapping[str, int]:
    """How many findings of each severity there are, without those of which there are none."""
    return {name: number for name, number in check.counts().items() if number}


def store_of(
    path: Path,
    columns: Columns,
    features: Mapping[str, np.ndarray],
    *,
    files: Sequence[str] = (),
    distinct: bool = True,
) -> FeatureStore:
    """A store of these samples with a feature `<name>/values` for each array of `features`, row axis first; each row is
    said to be made from the file of the content that `files` tells, or else from one of its own; `distinct` as of
    `ArraySpec`."""
    store = FeatureStore.create(path, index=index_of(**columns))
    contents = files or columns["keys"]
    sources = [
        (SourceFile(f"{key}.bin", 9, 1, content),) for key, content in zip(columns["keys"], contents, strict=True)
    ]
    for name, values in features.items():
        dims = ("step", "channel")[-(values.ndim - 1) :]
        spec = ArraySpec("values", values.shape[1:], dims, "float32", distinct=distinct)
        store.add_feature_set(FeatureSetSpec(name, [spec], {"backbone": {"model": "toy"}}))
        rows = list(range(len(values)))
        arrays = {"values": values.astype(np.float32)}
        StoreWriter(store).write(name, rows, arrays, sources=sources, notes=[""] * len(rows))
    return store
