"""A run's folder: where its files are, and what they say.

<runs>/<name>/
  config.yaml          the resolved settings
  manifest.json        what was trained on what; with config.yaml there from the start
  metrics.jsonl        one line an epoch
  best.safetensors     raw and averaged weights of the best epoch
  last.safetensors     all that is needed to go on
  state.json           how far the run is; says `finished` at the very end
  calibration.json     what its scores are read by: a threshold, and the scale of scores
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from ...atomic import new_folder, remove_folder, write_json, write_text
from ...documents import read_regular_file
from ...errors import NotFoundError, OutputExistsError, TrainingError
from ...settings import Settings
from ...wording import homes_restored
from .documents import Manifest, RunState, read_manifest, read_sealed, read_settings, sealed_manifest, write_of_run
from .log import MetricRow, read_log

Document = TypeVar("Document")


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
    def calibration_path(self) -> Path:
        """What scores of the run are read by."""
        return self.path / "calibration.json"

    @property
    def exists(self) -> bool:
        """Whether this is a run, finished or not."""
        return self.manifest_path.is_file()

    @property
    def finished(self) -> bool:
        """Whether training is over."""
        state = self.state()
        return state is not None and state["finished"]

    def state(self) -> RunState | None:
        """How far the run is; None before its first checkpoint.

        Raises:
            TrainingError: if the file is damaged, was edited, or is of another run.
        """
        return self.read(self.state_path, RunState) if self.state_path.exists() else None

    def manifest(self) -> Manifest:
        """What was trained on what.

        Raises:
            NotFoundError: if this is not a run.
            TrainingError: if the manifest is damaged or was edited, or files of the run are links.
        """
        if not self.exists:
            raise NotFoundError(f"{self.path} is not a run. Make one with `weldcache train`.")
        refuse_links(self.path.iterdir())
        return read_manifest(self.manifest_path)

    def settings(self) -> Settings:
        """The settings that the run was started with, and its paths as they are on this machine.

        Raises:
            TrainingError: if the file was edited since.
            SettingsError: if it is of a version with other settings.
        """
        return _settings_of(self.config_path.absolute(), self.require_unedited_settings(), Path.home())

    def require_unedited_settings(self) -> bytes:
        """The file of the settings, which is refused where these are not those that the run was started with.

        Raises:
            TrainingError: as `settings`.
            NotFoundError: if the run has lost them.
        """
        expected = self.manifest().get("config_sha256")
        try:
            written = read_regular_file(self.config_path)
        except FileNotFoundError:
            raise NotFoundError(
                f"{self.path} has lost its {self.config_path.name}. Restore it from a copy, or delete the run's folder."
            ) from None
        if expected is not None and sha256(written).hexdigest() != expected:
            raise TrainingError(
                f"{self.config_path} was edited or exchanged since the run began. Restore it; what another command is "
                "to do otherwise is said with --cache and --set."
            )
        return written

    def log(self) -> Sequence[MetricRow]:
        """The row of every epoch, in order.

        Raises:
            TrainingError: if the log is damaged, was edited, or is not the one that the run's state speaks of.
        """
        log, state = read_log(self.metrics_path), self.state()
        if state is None or "log" not in state:
            return log.rows
        epoch = state["epoch"]
        if not 0 < epoch <= len(log.rows) or log.checksums[epoch - 1] != state["log"]:
            raise TrainingError(
                f"{self.metrics_path} is not the log of the {epoch} epochs that {self.state_path.name} speaks of: it "
                "was edited or exchanged. Restore it, or train again with --overwrite."
            )
        return log.rows

    def read(self, path: Path, kind: type[Document]) -> Document:
        """A sealed document of this run.

        Raises:
            TrainingError: if it is damaged, was edited, or is of another run.
        """
        return read_sealed(path, kind, manifest=self.manifest())

    def write(self, path: Path, document: Mapping[str, Any]) -> None:
        """Replace `path` by a sealed document of this run."""
        write_of_run(path, document, manifest=self.manifest())

    def how_to_go_on(self) -> str:
        """A sentence with the command that continues an unfinished run: the one that began it, settings and all."""
        try:
            program, *words = shlex.split(homes_restored(self.manifest()["command"]))
        except ValueError:
            program, words = "", []
        if program != "weldcache":  # begun from Python, or a stranger's words, which are not for copying
            return "The command that began it goes on with it."
        return f"`{shlex.join([program, *(word for word in words if word != '--overwrite')])}` goes on with it."

    def create(self, *, config: str, manifest: Mapping[str, Any]) -> None:
        """Make the folder with its settings and manifest; it appears whole or not at all.

        Raises:
            OutputExistsError: if there is such a folder already and something is in it.
        """
        with new_folder(self.path) as folder:
            RunFolder(folder).begin(config=config, manifest=manifest)

    def begin(self, *, config: str, manifest: Mapping[str, Any]) -> None:
        """Write settings and manifest into a folder that nobody else knows of yet."""
        write_text(self.config_path, config)
        write_json(self.manifest_path, sealed_manifest(manifest, config=config))

    def remove(self) -> None:
        """Delete the run and all its files.

        Raises:
            OutputExistsError: if the folder is not a run.
        """
        if not self.exists:
            raise OutputExistsError(f"{self.path} is not a run and will not be deleted; choose another --run.")
        remove_folder(self.path)


@lru_cache(maxsize=32)
def _settings_of(path: Path, content: bytes, home: Path) -> Settings:
    """The settings in the file at `path`, which a training asks for again and again: parsed once, as long as its
    `content` is the same and paths that begin with `~` lead to the same `home`."""
    return read_settings(path, content)


def refuse_links(paths: Iterable[Path]) -> None:
    """Refuse files that are links: writing replaces what a link leads to, which in a stranger's run may be anything.

    Raises:
        TrainingError: names the first.
    """
    for path in paths:
        if path.is_symlink():
            raise TrainingError(
                f"{path} is a link, and the files of a run must lie in its folder. Put the file itself there; the "
                "whole folder may be a link."
            )
