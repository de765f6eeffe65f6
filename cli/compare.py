"""`weldcache compare`: runs beside each other, paired on the same samples."""

from typing import Annotated, Literal

import typer

from .completion import runs
from .options import AsJson, Config, Set, Verbose, print_json


def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two or more runs.", autocompletion=runs)],
    split: Annotated[Literal["val", "test"], typer.Option(help="Samples on which they are compared.")] = "test",
    verbose: Verbose = False,
    config: Config = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs: which is ahead on the same samples, by how much, paired, with intervals and p values, and which
    settings differ. With `--verbose` by class too, and figures and settings side by side.

    Reads what `weldcache eval` wrote into the runs; a run that was not judged yet is scored. Runs that were judged on
    other samples, another split or other features of the same name are shown, but not paired: exit status 2.
    """
    from ..evaluate.comparison.compare import compare_runs
    from ..settings import load_settings

    compared = compare_runs(load_settings(config, overrides=settings or []), names, split=split)
    if as_json:
        print_json(compared.as_json())
    else:
        from ..evaluate.comparison.tables import compared_tables
        from ..tables import print_tables

        print_tables(compared_tables(compared, details=verbose))
    if compared.refused is not None:
        raise compared.refused
