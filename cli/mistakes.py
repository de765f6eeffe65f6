"""What was typed wrong, in a sentence that says what would be right."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from ..errors import NotFoundError, WeldcacheError
from ..wording import listed, nearest_hint


def sentence_of(error: typer.TyperException) -> str:
    """What cannot be parsed, the nearest that can, and where the help is; empty where the help was shown instead."""
    # What the parser's own errors hold beside their message differs by kind, and their classes are not public.
    context: Any = getattr(error, "ctx", None)
    option = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        message = f"No such option: {option}.{_instead_of(option, context.command.params)}"
    else:
        message = error.format_message().replace("Value error, ", "")
        if choice := re.search(r"'([^']*)' is not one of (.*)", message):
            known = re.findall("'([^']*)'", choice[2])
            message = f"{message.rstrip('.')}.{nearest_hint(choice[1], known)}"
    if not message:
        return ""
    ended = message if message.endswith(("?", ".")) else f"{message}."
    return f"{ended} See `{'weldcache' if context is None else context.command_path} --help`."


def unsaid(error: WeldcacheError, arguments: Sequence[str]) -> str:
    """Behind the message that something is not there: that nothing here says where it should be. Else empty."""
    if not isinstance(error, NotFoundError) or any(each.partition("=")[0] == "--config" for each in arguments):
        return ""
    from ..settings import defaults_told

    return f" {told}" if (told := defaults_told()) else ""


def _instead_of(option: str, parameters: Iterable[Any]) -> str:
    """The settings whose last word an option is that a command has not, or else the nearest option that it has."""
    known = [name for parameter in parameters for name in parameter.opts if name.startswith("--")]
    if "--set" in known and (keys := _settings_called(option.lstrip("-").replace("-", "_"))):
        return f" Settings are given by --set: {listed([f'--set {key}=VALUE' for key in keys], last='or')}."
    hint = nearest_hint(option.lstrip("-"), [name.lstrip("-") for name in known])
    return hint.replace("mean ", "mean --")


def _settings_called(word: str) -> list[str]:
    """The first few settings, of those that there are here, whose last word is `word`."""
    from ..configs.explain import keys_ending
    from ..settings import load_settings

    try:
        return keys_ending(word, settings=load_settings())[:3]
    except WeldcacheError:  # the folder's own settings are at fault, and that is another message
        return []
