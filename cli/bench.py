"""`weldcache bench`: a list of variants in one table."""

from typing import Annotated, Literal

import typer

from .completion import lists
from .options import AsJson, Cache, Device, Epochs, Set, command_line, overrides, print_found, print_json


def bench(
    variants: Annotated[
        str | None,
        typer.Argument(
            metavar="[LIST]", help="A shipped list or a YAML file.", show_default=False, autocompletion=lists
        ),
    ] = None,
    cache: Cache = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="0,1,2", help="Seeds to train each with.", show_default="the list's"),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            "--splits",
            metavar="official,NAME",
            help="Splits of the store to train and judge each by, a table each.",
            show_default="the list's",
        ),
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Samples to compare them on.")] = "test",
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the weights of every trial once it is scored.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Train every trial again; interrupted, the same command goes on."),
    ] = False,
    epochs: Epochs = None,
    device: Device = None,
    settings: Set = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="Name the variants of LIST, or of every shipped list, and run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train every variant of a list with several seeds on one copy of the features, and rank them.

    Without LIST, the shipped lists are shown. Interrupt it and run it again: what is done is not repeated. The table
    is kept in `runs/<LIST>` as a page, CSV, JSON and Markdown, every trial as a run beside it. Exit status 1 if a
    variant failed.
    """
    from ..evaluate.trials.variant_list import load_variant_list, parse_seeds, parse_splits, shipped_lists

    if show_list or variants is None:
        lists = [load_variant_list(name) for name in (shipped_lists() if variants is None else [variants])]
        if as_json:
            print_json({"lists": {each.name: each.as_json() for each in lists}})
        else:
            typer.echo("\n".join(line for each in lists for line in each.told(with_variants=show_list)))
        return
    from ..evaluate.trials.bench import bench as run_bench

    found = run_bench(
        load_variant_list(variants),
        overrides=overrides(settings, cache_path=cache, train_epochs=epochs, train_device=device),
        seeds=None if seeds is None else parse_seeds(seeds),
        store_splits=None if splits is None else parse_splits(splits),
        split=split,
        overwrite=overwrite,
        keep_weights=keep_weights,
        command=command_line(),
    )
    print_found(found.document, found.summary, as_json=as_json, closing=f"Table and trials: {found.folder}")
    raise typer.Exit(0 if found.complete else 1)
