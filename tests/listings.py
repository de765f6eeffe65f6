"""Listings of samples without a fault, into which a test of the audit plants one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec, StorageType
from weldcache.cache.status import SourceFile
from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import Target
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
    features: Mapping[str, np.ndarray | Mapping[str, np.ndarray]],
    *,
    files: Sequence[str] = (),
    distinct: bool = True,
    targets: Mapping[str, Target] | None = None,
) -> FeatureStore:
    """A store of these samples with a feature `<name>/values` for each array of `features`, row axis first, or with
    several arrays by name; each row is said to be made from the file of the content that `files` tells, or else from
    one of its own; `distinct` as of `ArraySpec`; `targets` beside class and label."""
    index = index_of(**columns)
    index = replace(index, targets={**index.targets, **(targets or {})})
    store = FeatureStore.create(path, index=index)
    contents = files or columns["keys"]
    sources = [
        (SourceFile(f"{key}.bin", 9, 1, content),) for key, content in zip(columns["keys"], contents, strict=True)
    ]
    rows = list(range(len(columns["keys"])))
    for name, given in features.items():
        arrays = {
            array: values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
            for array, values in (given.items() if isinstance(given, Mapping) else [("values", given)])
        }
        specs = [_spec(array, values, distinct=distinct) for array, values in arrays.items()]
        store.add_feature_set(FeatureSetSpec(name, specs, {"backbone": {"model": "toy"}}))
        StoreWriter(store).write(name, rows, arrays, sources=sources, notes=[""] * len(rows))
    return store


def _spec(array: str, values: np.ndarray, *, distinct: bool) -> ArraySpec:
    dims = ("step", "channel")[-(values.ndim - 1) :]
    is_integer = values.dtype.kind == "i"
    dtype: StorageType = "int32" if is_integer else "float32"
    return ArraySpec(array, values.shape[1:], dims, dtype, distinct=distinct and not is_integer)
