"""`weldcache config`: what can be set, and what is."""

from typing import Annotated

import typer

from .completion import settings as known_settings
from .options import AsJson, Config, Set, print_json

app = typer.Typer(no_args_is_help=True, help="List presets, show the resolved settings, explain one.")


@app.command("list")
def list_presets(as_json: AsJson = False) -> None:
    """List the presets."""
    from ..settings import preset_names, preset_summary

    if as_json:
        print_json({"presets": {name: preset_summary(name) for name in preset_names()}})
        return
    from ..tables import literal, make_table, print_tables

    table = make_table("presets", left=["preset", "what it is"])
    for name in preset_names():
        table.add_row(literal(name), literal(preset_summary(name)))
    print_tables([table])


@app.command()
def show(config: Config = None, settings: Set = None, as_json: AsJson = False) -> None:
    """Print the settings as a command would use them here, as YAML that --config takes."""
    from ..progress import say
    from ..settings import defaults_told, load_settings, to_yaml

    if told := defaults_told():
        say(told)

    resolved = load_settings(config, overrides=settings or [])
    if as_json:
        print_json({"settings": resolved.model_dump(mode="json")})
    else:
        typer.echo(to_yaml(resolved), nl=False)


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
    as_json: AsJson = False,
) -> None:
    """Say what a setting means, what it may be, and what it is here."""
    from ..configs.explain import explain as explain_setting
    from ..configs.explain import explained
    from ..progress import say
    from ..settings import defaults_told, load_settings

    if told := defaults_told():
        say(told)

    resolved = load_settings(config, overrides=settings or [])
    if as_json:
        print_json({"settings": explained(key, settings=resolved)})
    else:
        typer.echo(explain_setting(key, settings=resolved))
