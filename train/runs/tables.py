"""Runs as tables for a terminal; what does not fit is in the JSON."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...documents import Json
from ...metrics.estimate import Estimate, span, with_span
from ...tables import literal, make_table
from ...wording import count_of, format_seconds, format_size, in_words
from .catalogue import UNSEALED, RunDetails, RunEntry, Status
from .comparison import Comparison, Figure
from .pruning import PruningPlan

_STYLES: dict[Status, str] = {
    "finished": "green",
    "stopped early": "green",
    "weights deleted": "dim",
    "unfinished": "yellow",
    "damaged": "red",
}


def run_list(entries: Sequence[RunEntry], *, folder: Path) -> Iterator[RenderableType]:
    """The runs of `folder`, then what is wrong with damaged ones."""
    if not entries:
        yield literal(f"There is no run in {folder}. Make one with `weldcache train`.")
        return
    listed = {figure.label for entry in entries for figure in entry.reached("list")}
    alone = listed.pop() if len(listed) == 1 else ""  # what stands above the column need not stand in every cell
    table = make_table("", left=["run", "status", "validation", f"test {alone}".strip()], right=["cost"])
    for entry in entries:
        # Of a damaged run more is told below the table.
        doubt = "" if entry.sealed or entry.status == "damaged" else "\nunsealed"
        validated = [f"{in_words(name.removeprefix('val_'))} {value:.4g}" for name, value in entry.validation().items()]
        table.add_row(
            Text.assemble(literal(entry.name), literal(f"\n{entry.recipe} {_time(entry.created)}", style="dim")),
            Text.assemble(_status(entry), f"\n{count_of(entry.epochs, 'epoch')}", (doubt, "yellow")),
            literal("\n".join(validated)),
            Text("\n".join(_reached(entry, alone=bool(alone)))),
            Text(f"{format_size(entry.num_bytes)}\n{format_seconds(entry.seconds)}"),
        )
    yield table
    for entry in entries:
        yield from _faults(entry)


def _reached(entry: RunEntry, *, alone: bool) -> Iterator[str]:
    """The lines of a cell: each figure, the control that it has to beat, and its interval; `alone` without its name."""
    for figure, value in entry.reached("list").items():
        if value is None or entry.test is None:
            continue
        name = "" if alone else f"{figure.label} "
        control = entry.test.figure(figure.control) if figure.control else None
        beside = "" if control is None else f" (control {_value(control):.3f})"
        yield f"{name}{_value(value):.3f}{beside}"
        if isinstance(value, Estimate):
            yield span(value)


def _value(figure: Estimate | float | int) -> float:
    return figure.value if isinstance(figure, Estimate) else float(figure)


def run_page(run: RunDetails) -> Iterator[RenderableType]:
    """A run's facts, its best epoch, its settings where they are not a preset's, and its files."""
    entry, facts = run.entry, run.facts
    epochs = count_of(entry.epochs, "epoch")
    yield literal(str(run.path), style="bold")
    yield Text.assemble(
        _status(entry),
        literal(f", {entry.recipe}, {epochs} in {format_seconds(entry.seconds)}, {_time(entry.created)}"),
    )
    yield from _faults(entry)
    yield from (literal(f"{name}: {value}") for name, value in _facts(run))
    if not entry.sealed:
        yield literal(f"{entry.name} {UNSEALED}.", style="yellow")
    if facts.get("backbones_are_random"):
        yield Text("Trained on features of random weights: its figures say nothing of the method.", style="yellow")
    if entry.best is not None:
        yield _two_columns("best epoch", {name: _figure(value) for name, value in entry.best.items()})
    if run.reports:
        yield _report_table(run)
    yield _settings_table(run)
    yield _two_columns("files", {name: format_size(size) for name, size in run.files.items()})


def comparison_tables(comparison: Comparison) -> Iterator[RenderableType]:
    """Figures and differing settings side by side, then what forbids comparing them."""
    names = [run.entry.name for run in comparison.runs]
    figures = make_table("figures", left=[""], right=names)
    for name, values in comparison.figures.items():
        figures.add_row(literal(name), *(literal(_figure(value)) for value in values))
    yield figures
    if comparison.settings:
        settings = make_table("settings that differ", left=[""], right=names)
        for name, choices in comparison.settings.items():
            settings.add_row(literal(name), *(literal(_plain(choice)) for choice in choices))
        yield settings
    else:
        yield Text("No setting differs.")
    yield from (literal(note, style="yellow") for note in comparison.notes)


def removal_tables(plan: PruningPlan, *, done: bool) -> Iterator[RenderableType]:
    """What was removed (`done`) or would be, and what was left alone and why."""
    removals, left = plan.removals, plan.left
    freed = sum(removal.num_bytes for removal in removals)
    if removals:
        table = make_table("removed" if done else "would be removed", left=["run", "what", "because"], right=["size"])
        for removal in removals:
            what = "all of it" if removal.files is None else "\n".join(removal.files)
            row = (removal.name, what, removal.reason, format_size(removal.num_bytes))
            table.add_row(*map(literal, row))
        yield table
    yield from (literal(f"Left alone: {item.name}. {item.reason}", style="yellow") for item in left)
    if not removals:
        yield Text("Nothing was removed." if done else "There is nothing to remove.")
    elif done:
        yield Text(f"{format_size(freed)} are free.")
    else:
        yield Text(f"{format_size(freed)} would be free. Nothing was changed; --yes removes it.")


def _facts(run: RunDetails) -> Iterator[tuple[str, str]]:
    facts = run.facts
    yield "command", str(facts.get("command", ""))
    yield "features", f"{run.cache}, fingerprint {run.entry.fingerprint}"
    for name in ("counts", "parameters"):
        counted = ((in_words(key), value) for key, value in _counted(facts.get(name, {})))
        yield name, ", ".join(f"{key} {_plain(value)}" for key, value in counted)


def _counted(counts: Mapping[str, Json], *, prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Each number with what it counts: of numbers by modality, `without` and `video` become `without video`."""
    for name, value in counts.items():
        if isinstance(value, Mapping):
            yield from _counted(value, prefix=f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _report_table(run: RunDetails) -> Table:
    reached = {split: run.entry.reached("page", report) for split, report in run.reports.items()}
    names = dict.fromkeys(figure.label for figures in reached.values() for figure in figures)
    table = make_table("evaluated", left=["split"], right=list(names))
    for split, figures in reached.items():
        table.add_row(split, *map(_figure, figures.values()))
    return table


def _settings_table(run: RunDetails) -> RenderableType:
    if not run.settings:
        return Text("Its settings cannot be read.", style="red")
    if not run.changed:
        return Text(f"Settings are those of the preset {run.preset}.")
    table = make_table("settings", left=[""], right=["here", f"preset {run.preset}"])
    for name, value in run.changed.items():
        table.add_row(literal(name), literal(_plain(run.settings[name])), literal(_plain(value)))
    return table


def _two_columns(title: str, rows: dict[str, str]) -> Table:
    table = make_table(title, left=[""], right=[""])
    table.show_header = False
    for name, value in rows.items():
        table.add_row(literal(name), literal(value))
    return table


def _faults(entry: RunEntry) -> Iterator[Text]:
    return (literal(f"{entry.name} is damaged: {fault}", style="red") for fault in entry.faults)


def _status(entry: RunEntry) -> Text:
    return Text(entry.status, style=_STYLES[entry.status])


def _figure(value: Figure) -> str:
    if value is None:
        return ""
    if isinstance(value, Estimate):
        return with_span(value)
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Json) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def _time(created: str) -> str:
    """To the minute, as recorded: in UTC."""
    return created[:16].replace("T", " ")
