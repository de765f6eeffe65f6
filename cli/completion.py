"""What the shell offers behind Tab: presets, settings, runs, and what else has a name. Nothing where these cannot be
read."""

from collections.abc import Callable, Iterable

from ..errors import WeldcacheError


def presets(incomplete: str) -> list[str]:
    """Names of presets; the shell completes files by itself."""
    from ..settings import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def assignments(incomplete: str) -> list[str]:
    """Settings as --set takes them, up to their value."""
    return [f"{key}=" for key in settings(incomplete)]


def settings(incomplete: str) -> list[str]:
    """Dotted names of the settings that there are here."""
    return _readable(incomplete, _settings_here)


def runs(incomplete: str) -> list[str]:
    """Names of the runs that there are here; behind the name of a list, of its runs."""
    return _readable(incomplete, lambda: _runs_here("*/*" if "/" in incomplete else "*"))


def lists(incomplete: str) -> list[str]:
    """Names of the shipped lists of variants; the shell completes files by itself."""
    from ..evaluate.trials.variant_list import shipped_lists

    return _readable(incomplete, shipped_lists)


def weights(incomplete: str) -> list[str]:
    """Names of the weights that can be had."""
    from ..extract.weights.catalogue import ENTRIES

    return _readable(incomplete, lambda: ENTRIES)


def synthetic_fields(incomplete: str) -> list[str]:
    """Names of the fields of which synthetic data can be made."""
    from ..extract.sources.synth import GENERATORS

    return _readable(incomplete, lambda: GENERATORS.names)


def _readable(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [name for name in names() if name.startswith(incomplete)]
    except (WeldcacheError, OSError):
        return []


def _settings_here() -> Iterable[str]:
    from ..configs.section import fields
    from ..settings import load_settings

    return (setting.key for setting in fields(load_settings()))


def _runs_here(pattern: str) -> Iterable[str]:
    from ..settings import load_settings

    folder = load_settings().runs.folder
    return sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"{pattern}/config.yaml"))
