"""`weldcache verify`: whether a store can be trusted."""

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, Cache, Config, Set, Verbose, overrides, print_json


def verify(
    config: Config = None,
    cache: Cache = None,
    live: Annotated[
        int,
        typer.Option("--live", min=0, metavar="K", help="Recompute K random samples and compare."),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which samples --live takes.")] = 0,
    no_sources: Annotated[
        bool, typer.Option("--no-sources", help="Look at the store alone, and at no file of the data set.")
    ] = False,
    mend: Annotated[
        bool,
        typer.Option("--mend", help="Mark what is damaged as missing, so that `weldcache extract` computes it again."),
    ] = False,
    verbose: Verbose = False,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Check that a feature store is whole and says the truth.

    Every byte against its checksum, statuses against chunks, metadata against the manifest, values for NaN and for
    not varying, rows for being equal; rows, files and weights against the data set and the backbones as they are now;
    with `--live`, features against a fresh computation. Exit status 1 if anything is wrong; notes are not.
    """
    from ..cache.verification.outcome import verification_tables
    from ..extract.verification.verify import verify as run_verify
    from ..settings import load_settings
    from ..tables import print_tables

    resolved = load_settings(config, overrides=overrides(settings, cache_path=cache))
    verification = run_verify(resolved, live=live, seed=seed, sources=not no_sources, mend=mend)
    if as_json:
        print_json(verification.to_json())
    else:
        print_tables(verification_tables(verification, details=verbose))
    _say_of_runs(resolved.runs.folder)
    raise typer.Exit(0 if verification.trustworthy else 1)


def _say_of_runs(folder: Path) -> None:
    """A line where runs of the same project are damaged; they change nothing about the store."""
    from ..progress import say
    from ..train.runs.catalogue import list_runs
    from ..wording import count_of, shortened

    if not folder.is_dir():
        return
    damaged = [entry.name for entry in list_runs(folder, nested=True) if entry.status == "damaged"]
    if damaged:
        say(
            f"{count_of(len(damaged), 'run')} in {folder}, {shortened(damaged, most=5)}, cannot be "
            "trusted: `weldcache runs verify` says why."
        )
