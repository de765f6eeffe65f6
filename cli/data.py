"""`weldcache data`: a data set before anything is extracted."""

from typing import Annotated

import typer

from .options import AsJson, Config, Data, Set, Verbose, overrides, print_json

app = typer.Typer(no_args_is_help=True, help="Look at a data set before anything is extracted.")


@app.command()
def check(
    root: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="The same as --data.", show_default=False)
    ] = None,
    config: Config = None,
    data: Data = None,
    verbose: Verbose = False,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Say what a data set holds and what is odd about it: no backbone, no store, no GPU is needed.

    Samples by part, class and group; files that are missing, empty or unreadable, with each reason once; groups in
    several parts or too large, the same recording under two names, attributes that give the class away. Exit status 1
    if something severe was found. `weldcache audit` asks the same and more, once there is a store.
    """
    from ..evaluate.audit.data_set import check_data, data_tables
    from ..settings import load_settings
    from ..tables import print_tables

    asked = overrides(settings, data_root=root if data is None else data)
    checked = check_data(load_settings(config, overrides=asked))
    if as_json:
        print_json(checked.to_json())
    else:
        print_tables(data_tables(checked, details=verbose))
    raise typer.Exit(0 if checked.audited.trustworthy else 1)
