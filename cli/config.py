"""`weldcache config`: what can be set, and what is."""

from typing import Annotated

import typer

from .options import Config, Set

app = typer.Typer(no_args_is_help=True, help="List presets, show the resolved settings, explain one.")


@app.command("list")
def list_presets() -> None:
    """List the presets."""
    from ..settings import preset_names, preset_summary

    for name in preset_names():
        typer.echo(f"{name:8} {preset_summary(name)}")


@app.command()
def show(config: Config = None, settings: Set = None) -> None:
    """Print the settings as a command would use them here, as YAML that --config takes."""
    from ..settings import load_settings, to_yaml

    typer.echo(to_yaml(load_settings(config, overrides=settings or [])), nl=False)


@app.command()
def explain(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A setting such as train.lr, or a section such as train.")],
    config: Config = None,
    settings: Set = None,
) -> None:
    """Say what a setting means, what it may be, and what it is here."""
    from ..configs.explain import explain as explain_setting
    from ..settings import load_settings

    typer.echo(explain_setting(key, settings=load_settings(config, overrides=settings or [])))
