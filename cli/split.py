"""`weldcache split`: further splits of a store's rows into train, val and test."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ..errors import SettingsError
from .options import AsJson, Cache, Config, Set, overrides, print_json


def split(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.", show_default=False)],
    by: Annotated[
        str,
        typer.Option(
            "--by",
            help="What keeps rows together: `group` (recorded together), an attribute, or a target with classes.",
        ),
    ] = "group",
    stratify: Annotated[
        str,
        typer.Option(
            "--stratify",
            help="Target whose classes every part has in the same shares, `none`, or `auto`: label, or else class. By "
            "label, groups of defects alone go to val and test.",
        ),
    ] = "auto",
    val: Annotated[float, typer.Option("--val", min=0, max=1, help="Share of validation.")] = 0.2,
    test: Annotated[float, typer.Option("--test", min=0, max=1, help="Share of test; train has the rest.")] = 0.2,
    folds: Annotated[
        int,
        typer.Option("--folds", min=0, help="Make NAME_1 to NAME_K: each row is in test once and in val once."),
    ] = 0,
    val_values: Annotated[
        list[str] | None,
        typer.Option("--val-value", help="Value of --by that is validated on; repeat for more.", show_default=False),
    ] = None,
    test_values: Annotated[
        list[str] | None,
        typer.Option("--test-value", help="Value of --by that is tested on; repeat for more.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME=VALUE",
            help="Deal the rows alone that have this value of an attribute or of a target with classes, such as "
            "kind=mono; the others take no part. Repeat it for a further name.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws another split of the same shares.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a split of this name.")] = False,
    config: Config = None,
    cache: Cache = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Divide the rows of a feature store anew; nothing is extracted again.

    Groups stay whole. `weldcache train --set train.split=NAME` trains by it, `weldcache eval` judges a run by the split
    that it was trained with, and `weldcache info` lists all.
    """
    from ..cache.describe import splits_json
    from ..cache.splitting import Dealing, split_store
    from ..cache.store_tables import split_tables
    from ..settings import load_settings
    from ..tables import print_tables

    path = load_settings(config, overrides=overrides(settings, cache_path=cache)).cache.path
    dealing = Dealing(
        by=by,
        stratify=stratify,
        val=val,
        test=test,
        folds=folds,
        val_values=tuple(val_values or ()),
        test_values=tuple(test_values or ()),
        seed=seed,
        only=_values_by_name(only or ()),
    )
    store, splits = split_store(path, name, dealing, overwrite=overwrite)
    if as_json:
        print_json({"splits": splits_json(store, splits)})
    else:
        print_tables(split_tables(store, splits))


def _values_by_name(told: Sequence[str]) -> dict[str, str]:
    """What --only says; raises SettingsError where that is no NAME=VALUE, or a name has two values."""
    values: dict[str, str] = {}
    for each in told:
        name, equals, value = each.partition("=")
        if not (name and equals) or name in values:
            raise SettingsError(f"--only {each!a}: write NAME=VALUE, such as kind=mono, and each name once.")
        values[name] = value
    return values
