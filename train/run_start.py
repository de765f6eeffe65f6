"""Whether a training command starts a new run, goes on with an unfinished one, or is refused."""

from dataclasses import dataclass
from typing import Any

from ..cache.provenance import differences
from ..configs.load import settings_from_file
from ..configs.schema import Settings
from ..documents import Json
from ..errors import OutputExistsError
from .origin import deciding_settings
from .run_folder import RunFolder, all_runs, named_run, next_name


@dataclass(frozen=True)
class RunStart:
    """What was decided: nothing is written yet. `replaces` means that a run is in the way and will be deleted."""

    run: RunFolder
    resumes: bool
    replaces: bool


def decide_start(settings: Settings, manifest: dict[str, Any], *, run_name: str | None, overwrite: bool) -> RunStart:
    """Decide by what is in the runs' folder; `manifest` is that of the run that is asked for.

    Without a name, the newest run that was not named by hand is continued if it is unfinished and asks for the same;
    otherwise the next number is taken.

    Raises:
        OutputExistsError: if the name belongs to a finished run, or to an unfinished one that asks for something else.
    """
    if run_name is None:
        return _start_unnamed(settings, manifest, overwrite=overwrite)
    run = named_run(settings.runs.folder, run_name)
    if overwrite or not run.path.exists():
        return RunStart(run, resumes=False, replaces=run.path.exists())
    if not run.exists:
        raise OutputExistsError(f"{run.path} is there and is not a run; choose another --run.")
    if run.finished:
        raise OutputExistsError(
            f"The run {run.path} is finished. Choose another --run, or replace it with --overwrite."
        )
    found = _differences(run, settings, manifest)
    if found:
        shown = "\n  ".join(found[:10])
        raise OutputExistsError(
            f"The run {run.path} is not finished and asks for something else:\n  {shown}\n"
            "Go on with what it was started with, choose another --run, or replace it with --overwrite."
        )
    return RunStart(run, resumes=True, replaces=False)


def _start_unnamed(settings: Settings, manifest: dict[str, Any], *, overwrite: bool) -> RunStart:
    folder, recipe = settings.runs.folder, str(manifest["recipe"])
    numbered = [run for run in all_runs(folder) if run.name.startswith(f"{recipe}-")]
    if numbered and not overwrite and not numbered[-1].finished and not _differences(numbered[-1], settings, manifest):
        return RunStart(numbered[-1], resumes=True, replaces=False)
    return RunStart(named_run(folder, next_name(folder, recipe)), resumes=False, replaces=False)


def _differences(run: RunFolder, settings: Settings, manifest: dict[str, Any]) -> list[str]:
    """What an unfinished run was started with against what is asked for, settings first, a line each."""
    before = run.manifest()
    asked = differences(deciding_settings(settings_from_file(run.config_path)), deciding_settings(settings))
    told = differences(_told(before), _told(manifest))
    return [f"{name}: {_short(mine)} there, {_short(theirs)} now" for name, mine, theirs in [*asked, *told]]


def _told(manifest: dict[str, Any]) -> Json:
    """What decides a training beside its settings."""
    return {name: manifest[name] for name in ("recipe", "cache", "samples")}


def _short(value: Json) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{len(value)} entries" if isinstance(value, list) else f"{text[:57]}..."
