"""A run's folder: where its files are, its name, and whether training may start or go on there.

<runs>/<name>/
  config.yaml          the resolved settings
  manifest.json        what was trained on what; with config.yaml there from the start
  metrics.jsonl        one line an epoch
  best.safetensors     raw and averaged weights of the best epoch
  last.safetensors     all that is needed to go on
  state.json           how far the run is; says `finished` at the very end

Runs that belong together, such as those of one list of variants, lie one folder deeper: runs/<list>/<name>.
"""

import json
import re
import shlex
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import fsync_path, fsync_tree, write_json, write_text
from ..configs.load import nearest_hint
from ..errors import NotFoundError, OutputExistsError, SettingsError, TrainingError
from ..progress import say

LATEST = "latest"
"""Stands for the newest finished run wherever a run's name is asked for."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class RunFolder:
    """One run's files; making the object touches no disk."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The resolved settings."""
        return self.path / "config.yaml"

    @property
    def manifest_path(self) -> Path:
        """What was trained on what."""
        return self.path / "manifest.json"

    @property
    def metrics_path(self) -> Path:
        """One line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def best_path(self) -> Path:
        """Weights of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def last_path(self) -> Path:
        """All that is needed to go on."""
        return self.path / "last.safetensors"

    @property
    def state_path(self) -> Path:
        """How far the run is."""
        return self.path / "state.json"

    @property
    def exists(self) -> bool:
        """Whether this is a run, finished or not."""
        return self.manifest_path.is_file()

    @property
    def finished(self) -> bool:
        """Whether training is over."""
        return bool(self.state().get("finished", False))

    def state(self) -> dict[str, Any]:
        """How far the run is, as plain JSON values; empty before its first checkpoint."""
        return read_json(self.state_path) if self.state_path.is_file() else {}

    def manifest(self) -> dict[str, Any]:
        """The manifest as plain JSON values.

        Raises:
            NotFoundError: if this is not a run.
        """
        if not self.exists:
            raise NotFoundError(f"{self.path} is not a run. Make one with `weldcache train`.")
        return read_json(self.manifest_path)

    def created(self) -> str:
        """When the run was started, as an ISO 8601 time.

        Raises:
            NotFoundError: if this is not a run.
            TrainingError: if the manifest is damaged or not a run's.
        """
        created = self.manifest().get("created")
        if not isinstance(created, str):
            raise TrainingError(f"{self.manifest_path} is no manifest of a run: it does not say when it was made.")
        return created

    def how_to_go_on(self) -> str:
        """A sentence with the command that continues an unfinished run: the one that began it, settings and all."""
        words = [word for word in shlex.split(self.manifest()["command"]) if word != "--overwrite"]
        return f"`{shlex.join(words)}` goes on with it."

    def create(self, *, config: str, manifest: Mapping[str, Any]) -> None:
        """Make the folder with its settings and manifest; it appears whole or not at all.

        Raises:
            OutputExistsError: if there is such a folder already.
        """
        if self.path.exists():
            raise OutputExistsError(f"{self.path} exists already; choose another --run.")
        temporary = self.path.with_name(f".{self.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            write_text(temporary / self.config_path.name, config)
            write_json(temporary / self.manifest_path.name, dict(manifest))
            fsync_tree(temporary)
            temporary.rename(self.path)
            fsync_path(self.path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def remove(self) -> None:
        """Delete the run and all its files.

        Raises:
            OutputExistsError: if the folder is not a run.
        """
        if not self.exists:
            raise OutputExistsError(f"{self.path} is not a run and will not be deleted; choose another --run.")
        doomed = self.path.with_name(f".{self.name}.{uuid.uuid4().hex[:8]}.tmp")
        self.path.rename(doomed)
        shutil.rmtree(doomed)


def named_run(folder: Path, name: str) -> RunFolder:
    """The run called `name`, which need not exist.

    Raises:
        SettingsError: if the name would not be one plain folder, or means another run.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"A run's name has letters, digits, dots, dashes and underscores only, not {name!r}.")
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
    """Every run directly in `folder`, damaged ones too, by name."""
    runs = [RunFolder(path.parent) for path in folder.glob("*/manifest.json")]
    return sorted((run for run in runs if _NAME.fullmatch(run.name)), key=lambda run: run.name)


def runs_below(folder: Path) -> list[RunFolder]:
    """Every run in `folder` and in the folders of lists in it, by name; a run's own folders hold none."""
    own = runs_in(folder)
    lists = [path for path in sorted(folder.glob("*/")) if _NAME.fullmatch(path.name) and RunFolder(path) not in own]
    return [*own, *(run for path in lists for run in runs_in(path))]


def all_runs(folder: Path) -> list[RunFolder]:
    """Every run directly in `folder` that can be read, the oldest first; says which cannot."""
    created = {}
    for run in runs_in(folder):
        try:
            created[run] = run.created()
            run.state()
        except TrainingError as error:
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


def read_json(path: Path) -> dict[str, Any]:
    """A file of a run as plain JSON values.

    Raises:
        TrainingError: if it is damaged.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path} is damaged ({error}); restore it, or delete the run's folder.") from None
    if not isinstance(value, dict):
        raise TrainingError(f"{path} is damaged (it holds no JSON object); restore it, or delete the run's folder.")
    return value
