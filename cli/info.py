"""`weldcache info`: what a store holds."""

import json

import typer

from .options import AsJson, Cache, Config, overrides


def info(config: Config = None, cache: Cache = None, as_json: AsJson = False) -> None:
    """Show what a feature store holds: welds by split and class, modalities, arrays, backbones, fingerprint."""
    from ..cache.describe import describe_store, store_tables
    from ..cache.store import FeatureStore
    from ..configs.load import load_settings

    settings = load_settings(config, overrides=overrides(None, cache_path=cache))
    description = describe_store(FeatureStore.open(settings.cache.path))
    if as_json:
        typer.echo(json.dumps(description, indent=2))
        return
    from rich.console import Console

    console = Console()
    for part in store_tables(description):
        console.print(part, soft_wrap=not console.is_terminal)
