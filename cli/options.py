"""What several commands share, so that they read the same everywhere: options, and how what they found is printed."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import SettingsError
from ..wording import homes_hidden
from .completion import assignments, presets, runs

if TYPE_CHECKING:
    from rich.console import RenderableType

_NARROWEST = 80  # tables of trials are laid out for so many columns

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="PRESET|FILE",
        help="A preset (`weldcache config list`) or a YAML file; ./weldcache.yaml is read where there is one.",
        show_default=False,
        autocompletion=presets,
    ),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Data set; the same as --set data.root=PATH.", show_default=False)
]
Cache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="FOLDER|URL",
        help="Feature store; the same as --set cache.path=...; URLs begin with s3://, gs:// or az://.",
        show_default=False,
    ),
]
Split = Annotated[Literal["train", "val", "test", "all"], typer.Option("--split", help="Samples to work on.")]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Compute again what other files or weights were used for, and only that.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override one setting; repeat for more. `weldcache config show` lists all.",
        show_default=False,
        autocompletion=assignments,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="The same as --set train.seed=N.", show_default=False)]
Epochs = Annotated[
    int | None, typer.Option("--epochs", min=1, help="The same as --set train.epochs=N.", show_default=False)
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N; as --set STAGE.device=...", show_default=False),
]
RunName = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Name of the run; latest: the newest finished one.",
        show_default="latest",
        autocompletion=runs,
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell all of it, and not the first of it alone.")]
Maps = Annotated[
    Path | None,
    typer.Option(
        "--maps",
        metavar="FOLDER",
        help="Write where each sample is strange into a new folder: pictures overlaid, and the scores as .npy.",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT|auto",
        help="Ray cluster to join, with --engine ray.",
        show_default="one on this machine",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def overrides(settings: list[str] | None, **options: Path | str | int | None) -> list[str]:
    """Overrides in the order in which they win: `--set` first, then dedicated options such as `--cache`.

    The keyword `cache_path` stands for the setting `cache.path`.
    """
    # Overrides are YAML, in which a folder called 2024 would be a number: quoted, every path is text.
    written = {
        name: str(value) if isinstance(value, int) else json.dumps(str(value), ensure_ascii=False)
        for name, value in options.items()
        if value is not None
    }
    return [*(settings or []), *(f"{name.replace('_', '.', 1)}={value}" for name, value in written.items())]


def one_run(name: str | None, option: str | None) -> str | None:
    """The run that is named in place or by --run; raises SettingsError where both name one."""
    if name is not None and option is not None:
        raise SettingsError(f"The run is named twice, {name} and --run {option}; name it once.")
    return name or option


def command_line() -> str:
    """The command as it was given, for a shell to read back, with `~` for the user's home, which is not for others."""
    return homes_hidden(shlex.join(["weldcache", *sys.argv[1:]]))


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON object, which says the version of its shape: 1 unless it has one of its own."""
    typer.echo(json.dumps({"schema_version": 1, **document}, indent=2))


def print_found(document: Mapping[str, Any], summary: "RenderableType", *, as_json: bool, closing: str) -> None:
    """A table of trials with a line under it, or all of it as JSON."""
    if as_json:
        print_json(document)
        return
    from ..tables import print_tables

    print_tables([summary], narrowest=_NARROWEST)
    typer.echo(closing)
