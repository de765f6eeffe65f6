"""`weldcache config`: what can be set, and what is."""

from typing import Annotated

import typer

from .completion import settings as known_settings
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
    from ..progress import say
    from ..settings import defaults_told, load_settings, to_yaml

    if told := defaults_told():
        say(told)

    typer.echo(to_yaml(load_settings(config, overrides=settings or [])), nl=False)


@app.command()
def explain(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="A setting such as train.lr, its last word alone, or a section such as train.",
            autocompletion=known_settings,
        ),
    ],
    config: Config = None,
    settings: Set = None,
) -> None:
    """Say what a setting means, what it may be, and what it is here."""
    from ..configs.explain import explain as explain_setting
    from ..progress import say
    from ..settings import defaults_told, load_settings

    if told := defaults_told():
        say(told)

    typer.echo(explain_setting(key, settings=load_settings(config, overrides=settings or [])))
