"""The layout without a manifest: good_weld/ and defect_data_weld/ hold sessions, which hold runs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ....errors import NotFoundError, SourceError
from ....progress import say
from ..classes import ClassSource
from ..group_split import Drawn, check_fractions, split_groups
from ..listing import composed
from ..source import Sample, SeriesFormat
from .classes import CLASS_NAMES, GOOD, GOOD_CODE, class_code_of
from .run_folder import RECORDING_SUFFIXES, collect_run, machine_with

GOOD_FOLDER = "good_weld"
DEFECT_FOLDER = "defect_data_weld"


@dataclass(frozen=True)
class _Run:
    """A run that was found: `key` is its path below the data set's folder."""

    key: str
    session: str
    class_name: str


@dataclass(frozen=True)
class FolderSource(ClassSource):
    """One sample a run, in the order of keys: found by their names, which also give the class; splits by session.

    The session of a run is the folder that holds it, by its path below good_weld/ or defect_data_weld/: a session
    that has welds in both is one session and never in train. `split_seed` and its name fix what is drawn for a session.
    Welds have no attributes: without a manifest their settings are not known.
    """

    noun: ClassVar[str] = "weld"

    root: Path
    val_fraction: float
    test_fraction: float
    split_seed: int
    further_channels: Mapping[str, float] = field(default_factory=dict)

    def series(self) -> Mapping[str, SeriesFormat]:
        return {"sensor": machine_with(self.further_channels)}

    def list_samples(self) -> Sequence[Sample]:
        check_fractions(self.val_fraction, self.test_fraction)
        runs = sorted(self._find_runs(), key=lambda run: run.key)
        drawn = self._draw(runs)
        return [self._sample(run, drawn[run.session]) for run in runs]

    def _find_runs(self) -> Iterator[_Run]:
        tops = [self.root / name for name in (GOOD_FOLDER, DEFECT_FOLDER) if (self.root / name).is_dir()]
        if self.root / GOOD_FOLDER not in tops:
            raise NotFoundError(
                f"There is no {self.root / GOOD_FOLDER}: check data.root, or make data with `weldcache synth`."
            )
        for folder in _run_folders(tops):
            key = _key(folder, root=self.root)
            top, *session, _ = key.split("/")
            yield _Run(
                key=key,
                session="/".join(session) or top,
                class_name=_class_name(folder, good=top == GOOD_FOLDER),
            )

    def _draw(self, runs: Sequence[_Run]) -> dict[str, Drawn]:
        classes: dict[str, set[str]] = {}
        for run in runs:
            classes.setdefault(run.session, set()).add(run.class_name)
        drawn = split_groups(
            {session: frozenset(found) for session, found in classes.items()},
            normal=GOOD,
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            seed=self.split_seed,
        )
        if not any(each.part == "train" for each in drawn.values()):
            raise SourceError(
                f"{self.root / GOOD_FOLDER} has no session of good welds alone, and train needs one; "
                "expected folders such as good_weld/SESSION/MM-DD-YY-NNNN-00."
            )
        return drawn

    def _sample(self, run: _Run, drawn: Drawn) -> Sample:
        found = collect_run(self.root, key=run.key)
        return Sample(
            key=run.key,
            split=drawn.part,
            drawn_from=drawn.parts,
            group=run.session,
            files=found.files,
            targets={"label": int(run.class_name != GOOD), "class": run.class_name},
            absent=found.absent,
            unreadable=frozenset(found.unreadable),
            notes=found.notes,
            masks=found.masks,
        )


def _run_folders(tops: Sequence[Path]) -> Iterator[Path]:
    """Folders below `tops` that are named like runs, each once: what links lead to comes last, and not again."""
    folders, links = list(tops), list[Path]()
    seen: dict[tuple[int, int], Path] = {}
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        try:
            found = folder.stat()
            first = seen.setdefault((found.st_dev, found.st_ino), folder)
            if first != folder:
                say(f"{folder} leads to {first} again, which is read once, under that name.")
            elif class_code_of(folder.name) is not None:
                yield folder
            else:
                for inner, is_link in _folders_in(folder):
                    (links if is_link else folders).append(inner)
        except OSError as error:
            say(f"{folder} cannot be listed ({error.strerror}): what lies in it is not read.")


def _folders_in(folder: Path) -> list[tuple[Path, bool]]:
    """Folders in one that is no run's, and whether each is a link; the last by name comes first."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name, reverse=True)
    names = [entry.name for entry in entries if not entry.name.startswith(".")]
    stray = [name for name in names if name.lower().endswith(RECORDING_SUFFIXES)]
    if stray:
        raise SourceError(
            f"{folder} holds {min(stray)} and is not named like a run, so its class is not known; "
            "name it MM-DD-YY-NNNN-CC, CC being the class code."
        )
    return [
        (folder / entry.name, entry.is_symlink())
        for entry in entries
        if entry.name in names and (entry.is_symlink() or entry.is_dir())
    ]


def _key(folder: Path, *, root: Path) -> str:
    """The run's path below the data set's folder, in the composed form of Unicode, which copying may change."""
    key = folder.relative_to(root).as_posix()
    try:
        key.encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"The folder {key!a} has a name that is not UTF-8, which no store or report can hold; rename it, for "
            "example with `convmv -r -f latin1 -t utf8 --notest`."
        ) from None
    return composed(key)


def _class_name(folder: Path, *, good: bool) -> str:
    code = class_code_of(folder.name)
    if code is None or code not in CLASS_NAMES:
        raise SourceError(
            f"{folder}: the class code {code} is not known; the codes are {min(CLASS_NAMES)} to {max(CLASS_NAMES)}."
        )
    if (code == GOOD_CODE) != good:
        raise SourceError(
            f"{folder}: the code {code} means {CLASS_NAMES[code]}, which does not belong there; move the run to "
            f"{DEFECT_FOLDER if good else GOOD_FOLDER} or correct its name."
        )
    return CLASS_NAMES[code]
