"""`weldcache export` and `weldcache import`: a store as one HDF5 file, and back."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Cache, Config, overrides


def export_store(
    to: Annotated[Path, typer.Option("--to", help="HDF5 file to write.", show_default=False)],
    config: Config = None,
    cache: Cache = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a feature store to one HDF5 file that any HDF5 reader opens.

    The file mirrors the store: `features/video/tokens`, `index/keys`, with what made them. Every checksum is verified
    on the way, and `weldcache import` makes the same store of it again, bit for bit.
    """
    from ..cache.exchange import export_hdf5
    from ..cache.store import FeatureStore
    from ..configs.layers import user_path
    from ..settings import load_settings
    from ..wording import format_size

    settings = load_settings(config, overrides=overrides(None, cache_path=cache))
    to = user_path(str(to), origin="--to")
    export_hdf5(FeatureStore.open(settings.cache.path), to, overwrite=overwrite)
    typer.echo(f"{to}: {format_size(to.stat().st_size)} from {settings.cache.path}")


def import_store(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `weldcache export` wrote.", show_default=False)],
    config: Config = None,
    cache: Cache = None,
) -> None:
    """Make a feature store from the HDF5 file that `weldcache export` wrote, bit for bit the one it came from.

    A file that is damaged or cut short is refused, and then nothing is left behind.
    """
    from ..cache.exchange import import_hdf5
    from ..configs.layers import user_path
    from ..settings import load_settings
    from ..wording import count_of

    settings = load_settings(config, overrides=overrides(None, cache_path=cache))
    store = import_hdf5(user_path(str(file), origin="FILE"), settings.cache.path)
    typer.echo(f"{store.path}: {count_of(len(store.index), store.noun)}, fingerprint {store.fingerprint}")
