"""`weldcache info`: what a store holds."""

from .options import AsJson, Cache, Config, Verbose, overrides, print_json


def info(config: Config = None, cache: Cache = None, verbose: Verbose = False, as_json: AsJson = False) -> None:
    """Show what a feature store holds, what made it and whether it is whole.

    Samples by split and class, feature sets, fingerprint; what is missing and why, the last verification. With
    `--verbose` arrays, backbones, sampling, and how far the modalities' clocks are apart.
    """
    from ..cache.describe import describe_store
    from ..cache.store import FeatureStore
    from ..settings import load_settings

    settings = load_settings(config, overrides=overrides(None, cache_path=cache))
    description = describe_store(FeatureStore.open(settings.cache.path))
    if as_json:
        print_json(description)
        return
    from ..cache.store_tables import store_tables
    from ..tables import print_tables

    print_tables(store_tables(description, details=verbose))
