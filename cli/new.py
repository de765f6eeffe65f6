"""`weldcache new`: the beginning of a source, a recipe or a judge of one's own."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import AsJson, print_json


def new(
    kind: Annotated[Literal["source", "recipe", "judge"], typer.Argument(help="What is begun.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="By which settings choose it, such as my_score.", show_default=False)
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where the package's folder is made.", show_default="here")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a small package with a source, a recipe or a judge that works, and with a test that inherits the contract.

    Change it step by step, and run its test; docs/extending.md tells of each.
    """
    from ..configs.layers import user_path
    from ..skeletons.write import write_skeleton

    skeleton = write_skeleton(kind, name, parent=user_path(str(to), origin="--to"))
    if as_json:
        print_json({**vars(skeleton), "folder": str(skeleton.folder.resolve())})
    else:
        typer.echo(skeleton.told)
