"""A store described for people and for scripts: what it holds, what made it, what is missing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .status import Status
from .store import FeatureStore


def describe_store(store: FeatureStore) -> dict[str, Any]:
    """Plain JSON values: rows by split and class, statuses by modality and split, arrays, backbones, fingerprint."""
    return {
        "path": str(store.path),
        "fingerprint": store.fingerprint,
        "created": store.created,
        "versions": dict(store.versions),
        "random_backbones": store.random_backbones,
        "num_rows": len(store.index),
        "classes": _class_counts(store),
        "modalities": {name: _describe_modality(store, name) for name in store.modalities},
        "constants": {name: entry["made_by"] for name, entry in store.manifest.items() if "arrays" not in entry},
        "problems": [
            {"key": key, "modality": name, "reason": reason}
            for name in store.modalities
            for key, reason in store.problems(name).items()
        ],
    }


def store_tables(description: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What `describe_store` says, as tables for a terminal."""
    yield Text(f"{description['path']}  made {description['created']}", style="bold")
    yield Text(f"fingerprint {description['fingerprint']}")
    if description["random_backbones"]:
        yield Text("Made by random-weight demo backbones: for trying things out, not for results.", style="yellow")
    yield _class_table(description["classes"])
    yield _modality_table(description["modalities"])
    yield _array_table(description["modalities"])
    for problem in description["problems"]:
        yield Text(f"{problem['key']}, {problem['modality']}: {problem['reason']}", style="yellow")


def _class_counts(store: FeatureStore) -> dict[str, dict[str, int]]:
    counted = Counter(zip(store.index.splits.tolist(), store.index.class_names.tolist(), strict=True))
    # Normal classes first, then by name, so that equal stores print equal tables.
    order = sorted(set(zip(store.index.labels.tolist(), store.index.class_names.tolist(), strict=True)))
    splits = [split for split in ("train", "val", "test") if split in store.index.splits]
    return {name: {split: counted[split, name] for split in splits} for _, name in order}


def _describe_modality(store: FeatureStore, modality: str) -> dict[str, Any]:
    status = store.status(modality)
    entry = store.manifest[modality]
    arrays = {name: store.array_spec(f"{modality}/{name}") for name in entry["arrays"]}
    return {
        "made_by": entry["made_by"],
        "rows": {state.name.lower(): int(np.sum(status == state)) for state in Status},
        "arrays": {
            name: {"shape": list(spec.shape), "dtype": spec.dtype, "bytes": spec.row_bytes * _complete(status)}
            for name, spec in arrays.items()
        },
    }


def _complete(status: np.ndarray) -> int:
    return int(np.sum(status == Status.COMPLETE))


def _class_table(classes: Mapping[str, Mapping[str, int]]) -> Table:
    splits = list(next(iter(classes.values()), {}))
    table = Table(title="welds", title_justify="left")
    table.add_column("class")
    for split in splits:
        table.add_column(split, justify="right")
    for name, counts in classes.items():
        table.add_row(name, *(str(counts[split]) for split in splits))
    table.add_section()
    table.add_row("all", *(str(sum(counts[split] for counts in classes.values())) for split in splits))
    return table


def _modality_table(modalities: Mapping[str, Any]) -> Table:
    table = Table(title="modalities", title_justify="left")
    for heading in ("modality", "complete", "missing", "absent", "unreadable", "backbone", "weights"):
        table.add_column(heading, justify="left" if heading in ("modality", "backbone", "weights") else "right")
    for name, entry in modalities.items():
        backbone = entry["made_by"].get("backbone")
        made = (backbone["model"], "random" if backbone["random_weights"] else "trained") if backbone else ("none", "")
        rows = entry["rows"]
        table.add_row(name, *(str(rows[state]) for state in ("complete", "missing", "absent", "unreadable")), *made)
    return table


def _array_table(modalities: Mapping[str, Any]) -> Table:
    table = Table(title="arrays", title_justify="left")
    for heading in ("array", "shape of a row", "type", "MB"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for modality, entry in modalities.items():
        for name, array in entry["arrays"].items():
            shape = " x ".join(str(length) for length in array["shape"]) or "scalar"
            table.add_row(f"{modality}/{name}", shape, array["dtype"], f"{array['bytes'] / 1e6:,.1f}")
    return table
