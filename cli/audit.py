"""`weldcache audit`: mistakes that software can catch."""

import json
from typing import Annotated

import typer

from .options import AsJson, Cache, Config, Data, Set, overrides


def audit(
    config: Config = None,
    data: Data = None,
    cache: Cache = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every check and what it looked at.")] = False,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Look for mistakes that make results wrong in silence: in data and splits, in features, in training, in results.

    Looks at whatever there is: a data set alone, a store, a run. Each finding names its evidence and what to do;
    docs/audit.md explains every check. Exit status 1 if one of them is severe, an error; warnings and notes are not.
    """
    from ..evaluate.audit.audit import audit as run_audit
    from ..evaluate.audit.audit import audit_tables
    from ..settings import load_settings
    from ..tables import print_tables

    audited = run_audit(load_settings(config, overrides=overrides(settings, data_root=data, cache_path=cache)))
    if as_json:
        typer.echo(json.dumps(audited.to_json(), indent=2))
    else:
        print_tables(audit_tables(audited, details=verbose))
    raise typer.Exit(0 if audited.trustworthy else 1)
