"""A run's folder: where its files are, its name, and whether training may start or go on there.

<runs>/<name>/
  config.yaml          the resolved settings
  manifest.json        what was trained on what; with config.yaml there from the start
  metrics.jsonl        one line an epoch
  best.safetensors     raw and averaged weights of the best epoch
  last.safetensors     all that is needed to go on
  state.json           how far the run is; says `finished` at the very end
"""

import json
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import fsync_path, fsync_tree, write_json, write_text
from ..errors import NotFoundError, OutputExistsError, SettingsError, TrainingError
from ..progress import say

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
        return _read_json(self.state_path) if self.state_path.is_file() else {}

    def manifest(self) -> dict[str, Any]:
        """The manifest as plain JSON values.

        Raises:
            NotFoundError: if this is not a run.
        """
        if not self.exists:
            raise NotFoundError(f"{self.path} is not a run. Make one with `weldcache train`.")
        return _read_json(self.manifest_path)

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
        SettingsError: if the name would not be one plain folder.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"A run's name has letters, digits, dots, dashes and underscores only, not {name!r}.")
    return RunFolder(folder / name)


def all_runs(folder: Path) -> list[RunFolder]:
    """Every run in `folder`, the oldest first."""
    created = {}
    for path in folder.glob("*/manifest.json"):
        run = RunFolder(path.parent)
        if not _NAME.fullmatch(run.name):
            continue
        try:
            created[run] = str(run.manifest()["created"])
            run.state()
        except TrainingError as error:
            say(f"Passed over: {error}")
    return sorted(created, key=lambda run: (created[run], run.name))


def latest_run(folder: Path) -> RunFolder:
    """The newest finished run in `folder`.

    Raises:
        NotFoundError: if there is none; the message tells an unfinished run how to go on.
    """
    runs = all_runs(folder)
    finished = [run for run in runs if run.finished]
    if finished:
        return finished[-1]
    hint = f" {runs[-1].name} is not finished: `weldcache train --run {runs[-1].name}` goes on." if runs else ""
    raise NotFoundError(f"There is no finished run in {folder}. Make one with `weldcache train`.{hint}")


def next_name(folder: Path, recipe: str) -> str:
    """`<recipe>-001`, or one more than the highest number in use."""
    pattern = re.compile(re.escape(recipe) + r"-(\d+)")
    matches = (pattern.fullmatch(path.name) for path in folder.glob(f"{recipe}-*"))
    return f"{recipe}-{max((int(match[1]) for match in matches if match), default=0) + 1:03d}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path} is damaged ({error}); restore it, or delete the run's folder.") from None
    return value
