"""`weldcache train`: stage two."""

from typing import Annotated

import typer

from .completion import runs
from .options import AsJson, Cache, Config, Device, Epochs, Seed, Set, command_line, overrides, print_json


def train(
    config: Config = None,
    cache: Cache = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            help="Name of the run; one that was interrupted is gone on with.",
            show_default="a new one",
            autocompletion=runs,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run of that name, finished or not.")
    ] = False,
    seed: Seed = None,
    epochs: Epochs = None,
    device: Device = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Train the recipe on cached features: of normal samples alone, unless the task is classification.

    Keeps the epoch that validates best, raw and averaged (EMA) weights both, in `runs/<name>`; see it with
    `weldcache eval`.
    """
    from ..configs.layers import override_layer
    from ..evaluate.pipeline import run_document, train_and_calibrate
    from ..settings import load_settings
    from ..train.fit import require_read
    from ..train.pipeline import describe_run

    asked = overrides(settings, cache_path=cache, train_seed=seed, train_epochs=epochs, train_device=device)
    resolved = load_settings(config, overrides=asked)
    require_read(resolved, override_layer(asked).keys)
    trained = train_and_calibrate(resolved, run_name=run, overwrite=overwrite, command=command_line())
    if as_json:
        print_json(run_document(trained.run))
    else:
        typer.echo(describe_run(trained))
