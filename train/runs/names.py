"""How runs are named, and found by their names.

Runs that belong together, such as those of one list of variants, lie one folder deeper: runs/<list>/<name>.
"""

import re
from pathlib import Path

from ...errors import NotFoundError, SettingsError, TrainingError
from ...progress import say
from ...wording import nearest_hint
from .folder import RunFolder

LATEST = "latest"
"""Stands for the newest finished run wherever a run's name is asked for."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_NAME = 200  # of 255 that most drives take; loggers and lists make longer names of it


def named_run(folder: Path, name: str) -> RunFolder:
    """The run called `name`, which need not exist.

    Raises:
        SettingsError: if the name would not be one plain folder, or means another run.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"A run's name has letters, digits, dots, dashes and underscores only, not {name!r}.")
    if len(name) > _LONGEST_NAME:
        raise SettingsError(f"A run's name has {_LONGEST_NAME} characters at most, not {len(name)}: {name[:40]}...")
    if name == LATEST:
        raise SettingsError(f"{LATEST} stands for the newest finished run and cannot be a run's name; choose another.")
    return RunFolder(folder / name)


def find_run(folder: Path, name: str | None) -> RunFolder:
    """The run that a user means: by its name, by `<list>/<name>`, or the newest finished one by `latest` or None.

    Raises:
        NotFoundError: if there is no such run; the message names the nearest.
        SettingsError: if the name cannot be a run's.
    """
    if name is None or name == LATEST:
        return latest_run(folder)
    if name.startswith(("/", ".", "~")):
        path = Path(name)
        raise SettingsError(
            f"{name} is a path: name the run {path.name}, and its folder: --set runs.folder={path.parent}."
        )
    *lists, last = name.split("/")
    below = folder
    for part in lists:
        below = named_run(below, part).path
    run = named_run(below, last)
    if run.exists:
        return run
    hint = nearest_hint(name, [relative_name(found, folder=folder) for found in runs_below(folder)])
    raise NotFoundError(
        f"{run.path} is not a run.{hint} `weldcache runs list --all` shows what there is; make one with "
        "`weldcache train`."
    )


def relative_name(run: RunFolder, *, folder: Path) -> str:
    """The name by which `find_run` finds a run in `folder`."""
    return run.path.relative_to(folder).as_posix()


def runs_in(folder: Path) -> list[RunFolder]:
    """Every run directly in `folder`, damaged ones too, by name.

    Raises:
        SettingsError: if `folder` is something else than a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"runs.folder is {folder}, which is no folder; set another.")
    runs = [RunFolder(path.parent) for path in folder.glob("*/manifest.json")]
    return sorted((run for run in runs if _NAME.fullmatch(run.name)), key=lambda run: run.name)


def runs_below(folder: Path) -> list[RunFolder]:
    """Every run in `folder` and in the folders of lists in it, by name; a run's own folders hold none."""
    return [run for parent in folders_of_runs(folder) for run in runs_in(parent)]


def folders_of_runs(folder: Path) -> list[Path]:
    """`folder` and the folders of lists in it: those that are no runs themselves."""
    own = runs_in(folder)
    lists = [path for path in sorted(folder.glob("*/")) if _NAME.fullmatch(path.name) and RunFolder(path) not in own]
    return [folder, *lists]


def all_runs(folder: Path) -> list[RunFolder]:
    """Every run directly in `folder` that can be read, the oldest first; says which cannot."""
    created = {}
    for run in runs_in(folder):
        try:
            created[run] = run.manifest()["created"]
            run.state()
        except (TrainingError, OSError) as error:
            say(f"Passed over: {error}")
    return sorted(created, key=lambda run: (created[run], run.name))


def latest_run(folder: Path) -> RunFolder:
    """The newest finished run directly in `folder`.

    Raises:
        NotFoundError: if there is none; the message tells an unfinished run how to go on.
    """
    runs = all_runs(folder)
    finished = [run for run in runs if run.finished]
    if finished:
        return finished[-1]
    hint = f" {runs[-1].name} is not finished: {runs[-1].how_to_go_on()}" if runs else ""
    raise NotFoundError(f"There is no finished run in {folder}. Make one with `weldcache train`.{hint}")


def next_name(folder: Path, recipe: str) -> str:
    """`<recipe>-001`, or one more than the highest number in use."""
    pattern = re.compile(re.escape(recipe) + r"-(\d+)")
    matches = (pattern.fullmatch(path.name) for path in folder.glob(f"{recipe}-*"))
    return f"{recipe}-{max((int(match[1]) for match in matches if match), default=0) + 1:03d}"
