"""`weldcache export` and `weldcache import`: a store as one HDF5 file, and back."""

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, Cache, Config, overrides, print_json


def export_store(
    to: Annotated[Path, typer.Option("--to", help="HDF5 file to write.", show_default=False)],
    config: Config = None,
    cache: Cache = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a feature store to one HDF5 file that any HDF5 reader opens.

    The file mirrors the store: `features/video/tokens`, `index/keys`, with what made them. Every checksum is verified
    on the way, and `weldcache import` makes the same store of it again, bit for bit.
    """
    from ..cache.describe import identity_json
    from ..cache.exchange import export_hdf5
    from ..cache.store import FeatureStore
    from ..configs.layers import user_path
    from ..settings import load_settings
    from ..wording import format_size

    settings = load_settings(config, overrides=overrides(None, cache_path=cache))
    to = user_path(str(to), origin="--to")
    store = FeatureStore.open(settings.cache.path)
    export_hdf5(store, to, overwrite=overwrite)
    num_bytes = to.stat().st_size
    if as_json:
        print_json({"file": str(to), "num_bytes": num_bytes, **identity_json(store)})
    else:
        typer.echo(f"{to}: {format_size(num_bytes)} from {store.path}")


def import_store(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `weldcache export` wrote.", show_default=False)],
    config: Config = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Make a feature store from the HDF5 file that `weldcache export` wrote, bit for bit the one it came from.

    A file that is damaged or cut short is refused, and then nothing is left behind.
    """
    from ..cache.describe import identity_json
    from ..cache.exchange import import_hdf5
    from ..configs.layers import user_path
    from ..settings import load_settings
    from ..wording import count_of

    settings = load_settings(config, overrides=overrides(None, cache_path=cache))
    source = user_path(str(file), origin="FILE")
    store = import_hdf5(source, settings.cache.path)
    if as_json:
        print_json({"file": str(source), "num_bytes": source.stat().st_size, **identity_json(store)})
    else:
        typer.echo(f"{store.path}: {count_of(len(store.index), store.noun)}, fingerprint {store.fingerprint}")
