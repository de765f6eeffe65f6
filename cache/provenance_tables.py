"""How the features of a store were made, as tables for a terminal: by which backbones, read how, into which arrays."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ..tables import make_table
from ..wording import format_size

_FINGERPRINT_SHOWN = 8  # characters


def backbone_table(entries: Mapping[str, Any]) -> Table:
    """The model and block of each feature set, whether its weights were trained, and the beginning of its
    fingerprint."""
    table = make_table("made by", left=["set", "model", "block", "weights", "print"], whole=True)
    for name, entry in entries.items():
        backbone = entry["made_by"].get("backbone")
        model, weights = Text("none", style="dim"), Text("")
        if backbone:
            model = Text(backbone.get("model", "unknown").rstrip("/").rpartition("/")[2])
            weights = Text("random", style="yellow") if backbone.get("random_weights") else Text("trained")
        block = str(entry["made_by"].get("block", ""))
        table.add_row(name, model, block, weights, entry["fingerprint"][:_FINGERPRINT_SHOWN])
    return table


def decoding_table(entries: Mapping[str, Any]) -> Table:
    """How files are read; sets that read alike share a line."""
    names_of: dict[str, list[str]] = {}
    for name, entry in entries.items():
        names_of.setdefault(_decoding(entry["made_by"].get("decoding", {})), []).append(name)
    table = make_table("read from the files", left=["set", "how"], whole=True)
    table.columns[1].no_wrap = False
    for told, names in names_of.items():
        table.add_row("\n".join(names), told)
    return table


def _decoding(decoding: Mapping[str, Any]) -> str:
    # Lists of names, such as the sensors' channels, are long and in the JSON.
    told = {key: value for key, value in decoding.items() if not _holds_text(value)}
    return named_values(told) or "as it is"


def named_values(entries: Mapping[str, Any]) -> str:
    """Each value behind its name, in a line."""
    names = {key: key.removeprefix("num_").replace("_", " ") for key in entries}
    return ", ".join(f"{names[key]} {_plain(value)}" for key, value in entries.items())


def _holds_text(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, str) for item in value)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "[" + " ".join(_plain(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def array_table(feature_sets: Mapping[str, Any]) -> Table:
    """The arrays of each feature set, and how much they take up."""
    table = make_table("arrays", left=["array", "shape of a row", "type"], right=["size"], whole=True)
    for feature_set, entry in feature_sets.items():
        for name, array in entry["arrays"].items():
            shape = " x ".join(str(length) for length in array["shape"]) or "scalar"
            table.add_row(f"{feature_set}/{name}", shape, array["dtype"], format_size(array["bytes"]))
    return table
