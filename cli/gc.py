"""`weldcache gc`: what can be spared of a project."""

from typing import Annotated

import typer

from .options import AsJson, Cache, Config, Set, overrides, print_json


def gc(
    older_than: Annotated[
        int | None,
        typer.Option(
            "--older-than", min=1, metavar="DAYS", help="Also finished runs that are older.", show_default=False
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be removed.")] = False,
    config: Config = None,
    cache: Cache = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Remove what killed writers have left of the store, runs that were never finished, and what else runs can spare.

    Of a store that is what nothing reads: files that were not finished, chunks of rows that are not complete, feature
    sets that it does not name any more, and notes of workers. Without `--yes` nothing is changed. What somebody writes
    to is left alone, and so is a store in a bucket. `weldcache runs prune` chooses among runs alone.
    """
    from ..cache.leftovers import find_leftovers, leftover_tables, leftovers_document, remove_leftovers
    from ..configs.place import BucketUrl
    from ..progress import say
    from ..settings import load_settings
    from ..train.runs.pruning import carry_out, plan_pruning, pruning_document

    resolved = load_settings(config, overrides=overrides(settings, cache_path=cache))
    place = resolved.cache.path
    if isinstance(place, BucketUrl):
        say(f"{place} is in a bucket, where `extract` and `mirror` remove what is left over: only runs are looked at.")
        leftovers = None
    else:
        leftovers = remove_leftovers(place) if yes else find_leftovers(place)
    plan = plan_pruning(resolved.runs.folder, nested=True, keep_best=None, unfinished=True, older_than=older_than)
    outcome = carry_out(plan) if yes else plan
    if as_json:
        print_json(
            {"done": yes, "store": leftovers_document(leftovers or []), "runs": pruning_document(outcome, done=yes)}
        )
        return
    from ..tables import print_tables
    from ..train.runs.tables import removal_tables

    if leftovers is not None:
        print_tables(leftover_tables(leftovers, done=yes))
    print_tables(removal_tables(outcome, done=yes))
