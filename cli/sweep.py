"""`weldcache sweep`: settings drawn from a space, trained on one cache, and the best of them judged."""

from typing import Annotated, Literal

import typer

from .completion import assignments
from .options import Address, AsJson, Cache, Config, Device, Epochs, Seed, Set, command_line, overrides, print_found


def sweep(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A space in YAML (docs/sweeps.md).", show_default=False)
    ] = None,
    quick: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="KEY=LOW..HIGH|A,B",
            help="A setting to draw, without a file or beside one; repeat for more.",
            show_default=False,
            autocompletion=assignments,
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="How many are tried in all.", show_default="the file's, or 30")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=256, help="Processes that try them.")] = 1,
    together: Annotated[
        int,
        typer.Option("--together", min=1, max=256, help="Trials that a process trains as one, where they can be."),
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="A database that several machines share, such as postgresql://USER@HOST/DATABASE.",
            show_default="the file's, or a journal",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option("--engine", help="Who places the processes: this machine, or Ray.")
    ] = "local",
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", metavar="N", help="GPUs that they share, with --engine ray.", show_default="all"),
    ] = None,
    address: Address = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Folder in that of the runs.", show_default="the file's, or sweep")
    ] = None,
    config: Config = None,
    cache: Cache = None,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the weights of every trial, and not of the best alone.")
    ] = False,
    seed: Seed = None,
    epochs: Epochs = None,
    device: Device = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Search settings by validation, and judge the best on the split test, which no trial saw.

    Interrupt it, kill it, run it again: what was tried is kept. More --trials add to it. Trials, the page sweep.html
    and sweep.json are in `runs/<name>`. Several commands may share a sweep, on several machines too. Exit status 1 if
    the best could not be judged.
    """
    from ..evaluate.sweeps.request import load_request, require_optuna

    require_optuna()
    from ..evaluate.sweeps.ray_workers import cluster_of
    from ..evaluate.sweeps.sweep import begun_with
    from ..evaluate.sweeps.sweep import sweep as run_sweep

    cluster = cluster_of(engine, address=address, gpus=gpus)
    asked = overrides(settings, cache_path=cache, train_seed=seed, train_epochs=epochs, train_device=device)
    request = load_request(file, name=name, trials=trials, storage=storage)
    request, base = begun_with(request, config, quick=quick or (), overrides=asked)
    found = run_sweep(
        request,
        base,
        jobs=jobs,
        together=together,
        keep_weights=keep_weights,
        command=command_line(),
        overrides=asked,
        cluster=cluster,
    )
    print_found(found.document, found.summary, as_json=as_json, closing=f"Page and trials: {found.folder}")
    raise typer.Exit(0 if found.complete else 1)
