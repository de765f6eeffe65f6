"""What `describe_store` says as text and tables for a terminal of eighty columns; what does not fit is in the JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..configs.place import is_url
from ..tables import make_table
from ..wording import count_of, first_of, format_size, listed, shortened, visible
from .description import made_with_random_weights
from .notes import Note, grouped
from .provenance_tables import array_table, backbone_table, decoding_table, named_values
from .splits import LEFT_OUT, Split
from .splitting import torn_groups
from .status import Status
from .store import FeatureStore
from .targets import CLASS, DEFECT, LABEL, NORMAL, UNKNOWN

_BAR_WIDTH = 30
_NOTES_SHOWN, _FEW_NOTES = 10, 3
_HASH_SHOWN = 8  # characters
_CLASSES_SHOWN = 4
_LIBRARIES = ("torch", "transformers", "numpy", "zarr")  # whose versions are worth a line


def store_tables(description: Mapping[str, Any], *, details: bool) -> Iterator[RenderableType]:
    """Whether a store is whole, what is in it and what made it, in ten lines or so; with `details` all of that in
    tables. Feature sets are a table wherever one of them is not whole."""
    if not details:
        yield from _gist(description)
        return
    yield Text(description["path"], style="bold")
    yield from _made(description, details=True)
    if description["classes"]:
        classes = description["classes"]
        yield class_table(classes, labels=description["labels"], noun=description["noun"], all_of=classes)
    yield from _further_targets(description)
    if len(description["splits"]) > 1:
        yield _split_table(description["splits"])
    yield from _torn(description)
    if description["feature_sets"]:
        yield _set_table(description["feature_sets"], num_rows=description["num_rows"])
        yield backbone_table({**description["feature_sets"], **description["constants"]})
        yield decoding_table({**description["feature_sets"], **description["constants"]})
        yield array_table(description["feature_sets"])
    yield from _health(description)
    if offsets := description["health"]["onset_offsets"]:
        yield _onset_table(offsets, noun=description["noun"])


def _gist(description: Mapping[str, Any]) -> Iterator[RenderableType]:
    health, sets = description["health"], description["feature_sets"]
    yield Text(f"{description['path']}: {_completeness(description)}", style="bold")
    yield _verification(health["verification"], fingerprint=description["fingerprint"])
    yield from (Text(message, style="red") for message in health["damage"])
    if health["problems"]:
        yield from _notes(health["problems"], noun=description["noun"], most=_FEW_NOTES)
    yield from _made(description, details=False)
    if description["labels"]:
        yield Text(_labels_told(description["labels"]))
    for name, split in description["splits"].items():
        counts = ", ".join(f"{visible(part)} {count:,}" for part, count in split["rows"].items())
        yield Text(f"split {visible(name)}: {counts}")
    yield from _further_targets(description)
    yield from _torn(description)
    if any(entry["rows"]["complete"] < description["num_rows"] for entry in sets.values()):
        yield _set_table(sets, num_rows=description["num_rows"])
    elif sets:
        yield Text(f"feature sets: {', '.join(map(visible, sets))}")
    yield Text("--verbose shows classes, backbones, sampling, arrays and how far clocks are apart.", style="dim")


def _further_targets(description: Mapping[str, Any]) -> Iterator[Text]:
    if further := [name for name in description["targets"] if name not in (LABEL.name, CLASS)]:
        yield Text(f"targets beside label and class: {', '.join(further)}")


def _torn(description: Mapping[str, Any]) -> Iterator[Text]:
    for split in description["splits"].values():
        if split["torn_groups"]:
            yield Text(split["torn_groups"], style="yellow")


def _made(description: Mapping[str, Any], *, details: bool) -> Iterator[Text]:
    """How much there is, and by what it was made."""
    disk = description["disk"]
    of_bucket = is_url(description["path"])
    lies = f"in the bucket in {disk['files']:,} objects" if of_bucket else f"on the disk in {disk['files']:,} files"
    yield Text(
        f"{count_of(description['num_rows'], description['noun'])}, {format_size(description['bytes'])} of features; "
        f"{format_size(disk['bytes'])} {lies}"
    )
    if description["num_left_out"]:
        left_out = count_of(description["num_left_out"], "of them is", "of them are")
        yield Text(f"{left_out} left out: the data set does not list them any more", style="yellow")
    if description["schema_note"]:
        yield Text(description["schema_note"], style="yellow")
    yield Text(f"fingerprint {description['fingerprint']}")
    versions = description["versions"]
    yield Text(f"made {description['created']} by weldcache {versions['weldcache']}")
    if details:
        yield Text(f"with {', '.join(f'{name} {versions[name]}' for name in _LIBRARIES if name in versions)}")
    if details and description["batching"]:
        yield Text(f"computed in groups: {named_values(description['batching'])}")
    if description["random_backbones"]:
        manifest = {"features": description["feature_sets"], "constants": description["constants"]}
        random, trained = made_with_random_weights(manifest)
        which = f"{listed(random)} made" if trained else "Made"
        told = f"{which} by random-weight demo backbones: for trying things out, not for results."
        yield Text(told, style="yellow")


def class_table(
    classes: Mapping[str, Mapping[str, int]],
    *,
    labels: Mapping[str, Any],
    noun: str,
    all_of: Mapping[str, Mapping[str, int]],
) -> Table:
    """Rows by class and part, as `class_counts` has them: those of `classes`, and the sum over `all_of`."""
    parts = list(next(iter(classes.values())))
    total = count_of(sum(sum(counts.values()) for counts in all_of.values()), noun)
    title = Text(f"{total}: {_labels_told(labels)}" if labels else total, style="table.title")
    table = make_table(title, left=["class"], right=parts, whole=True)
    for name, counts in classes.items():
        table.add_row(Text(visible(name)), *(_count(counts[part]) for part in parts))
    table.add_section()
    table.add_row("all", *(f"{sum(counts[part] for counts in all_of.values()):,}" for part in parts), style="bold")
    return table


def _labels_told(labels: Mapping[str, Any]) -> str:
    """Which classes are normal: `16 normal (good), 22 defects (crack, hole)`."""
    told = []
    for name, entry in labels.items():
        shown = shortened([visible(name) for name in entry["classes"]], most=_CLASSES_SHOWN)
        if entry["rows"] or name != "unknown":
            told.append(f"{entry['rows']:,} {name}{f' ({shown})' if shown else ''}")
    return ", ".join(told)


def split_tables(store: FeatureStore, splits: Sequence[Split]) -> Iterator[RenderableType]:
    """What was dealt where, for each split a table, and what is to be known of it."""
    index, labels = store.index, (("normal", NORMAL), ("defects", DEFECT), ("unknown", UNKNOWN))
    told = [(heading, label) for heading, label in labels if (index.labels[index.parts != LEFT_OUT] == label).any()]
    for split in splits:
        title = f"split {split.name}, hash {split.hash_of(index.keys)[:_HASH_SHOWN]}"
        headings = ["rows", "groups", *(heading for heading, _ in told)]
        table = make_table(title, left=["part"], right=headings, whole=True)
        for part, count in split.counts().items():
            rows = split.parts == part
            numbers = [count, len(np.unique(index.groups[rows]))]
            numbers += [int((index.labels[rows] == label).sum()) for _, label in told]
            table.add_row(part, *map(_count, numbers))
        yield table
        if torn := torn_groups(index, split, noun=store.noun):
            yield Text(torn, style="yellow")


def _split_table(splits: Mapping[str, Any]) -> Table:
    parts = list(dict.fromkeys(part for entry in splits.values() for part in entry["rows"]))
    table = make_table("splits", left=["split"], right=[*map(visible, parts), "hash"], whole=True)
    for name, entry in splits.items():
        counts = (_count(entry["rows"].get(part, 0)) for part in parts)
        table.add_row(name, *counts, entry["hash"][:_HASH_SHOWN])
    return table


def _set_table(feature_sets: Mapping[str, Any], *, num_rows: int) -> Table:
    table = make_table(
        "feature sets", left=["set"], right=["whole", "complete", "missing", "absent", "unreadable", "size"], whole=True
    )
    for name, entry in feature_sets.items():
        rows = entry["rows"]
        table.add_row(
            name,
            Text(_percent(rows["complete"], num_rows), style=_style(rows["complete"], num_rows)),
            _count(rows["complete"]),
            _count(rows["missing"], style="yellow"),
            _count(rows["absent"], style="yellow"),
            _count(rows["unreadable"], style="red"),
            format_size(entry["bytes"]),
        )
    return table


def _health(description: Mapping[str, Any]) -> Iterator[RenderableType]:
    health = description["health"]
    num_rows, num_complete = description["num_rows"] - description["num_left_out"], health["num_complete"]
    filled = _BAR_WIDTH * num_complete // max(num_rows, 1)
    yield Text("health", style="italic")
    yield Text.assemble(
        ("█" * filled + "░" * (_BAR_WIDTH - filled), _style(num_complete, num_rows)),
        f" {_completeness(description)}",
    )
    yield _verification(health["verification"], fingerprint=description["fingerprint"])
    yield from (Text(message, style="red") for message in health["damage"])
    yield from _notes(health["problems"], noun=description["noun"], most=_NOTES_SHOWN)


def _completeness(description: Mapping[str, Any]) -> str:
    """How many rows have all features: `100 %: 38 of 38 samples have everything`."""
    num_complete = description["health"]["num_complete"]
    num_rows = description["num_rows"] - description["num_left_out"]
    of_all, verb = count_of(num_rows, description["noun"]), "has" if num_rows == 1 else "have"
    return f"{_percent(num_complete, num_rows)}: {num_complete:,} of {of_all} {verb} everything"


def _verification(record: Mapping[str, Any] | None, *, fingerprint: str) -> Text:
    if record is None:
        return Text("never verified; `weldcache verify` checks every byte", style="dim")
    when = f"verified {record['created']}"
    if record["fingerprint"] != fingerprint:
        return Text(f"{when}, before features were added or made anew", style="yellow")
    faults = [count_of(record[name], name.removesuffix("s")) for name in ("errors", "warnings") if record[name]]
    rows = count_of(record["rows"], "row")
    changed = ""
    if record["num_changed"]:
        changed = f"{record['num_changed']:,} of {record['num_complete']:,} complete rows have changed or come since"
    if faults:
        told = [f"{when}, {rows}: {', '.join(faults)}", "`weldcache verify` tells them", changed]
        return Text("; ".join(part for part in told if part), style="red")
    if changed:
        return Text(f"{when}; {changed}", style="yellow")
    return Text(f"{when}, {rows}: nothing wrong", style="green")


def _notes(notes: Sequence[Mapping[str, Any]], *, noun: str, most: int) -> Iterator[Text]:
    if not notes:
        yield Text("no notes")
        return
    groups = grouped(
        [
            Note(
                told["key"], told["reason"], {name: Status[word.upper()] for name, word in told["feature_sets"].items()}
            )
            for told in notes
        ]
    )
    yield Text(f"notes on {count_of(len({told['key'] for told in notes}), noun)}:", style="yellow")
    for line in first_of([group.told(noun) for group in groups], most=most, rest="; --json lists all"):
        yield Text(f"  {line}", style="yellow")


def _onset_table(offsets: Sequence[Mapping[str, Any]], *, noun: str) -> Table:
    title = "when what is recorded begins, by one feature set against another, in seconds"
    table = make_table(
        title, left=["between"], right=[f"{noun}s", "later by", "apart (median)", "apart (P95)"], whole=True
    )
    for offset in offsets:
        numbers = [f"{offset[name]:.2f}" if name in offset else "" for name in ("median_absolute", "p95_absolute")]
        median = f"{offset['median']:+.2f}" if "median" in offset else "unknown"
        table.add_row(" - ".join(offset["feature_sets"]), f"{offset['num_rows']:,}", median, *numbers)
    return table


def _count(number: int, *, style: str = "") -> Text:
    return Text(f"{number:,}", style=style if number else "dim")


def _style(part: int, whole: int) -> str:
    return "green" if part == whole else "yellow"


def _percent(part: int, whole: int) -> str:
    # Rounded down: 100 % is said of what is whole.
    return f"{part * 1000 // max(whole, 1) / 10:g} %"
