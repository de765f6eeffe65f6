"""AnoVox on disk: which folder of a scenario holds which stream, in either release, and its files joined by tick.

<root>/Scenario_<uuid>/RGB-CAM(0, 0, 1.8)(0, 0, 0)_<hash>/<the same>_<tick>.png      the current release
<root>/Scenario_<uuid>/RGB_IMG/RGB_IMG_<tick>.png                                    the former ones

The hash differs between folders, so folders are told by how their names begin. A frame's number is the simulator's
tick: it does not begin at 0, and files of one moment are joined by it alone.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....errors import NotFoundError, SourceError, reason_of
from ....progress import say
from ....wording import count_of, listed, shortened
from ..listing import list_folder

CONFIGURATION = "Scenario_Configuration_Files"
_SCENARIO = re.compile(r"scenario_", re.IGNORECASE)
_TICK = re.compile(r"(\d{1,18})$")
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Release:
    """A release by the folders of a scenario: of each stream how a folder's name begins, and its files' suffix."""

    name: str
    folders: Mapping[str, tuple[str, str]]

    def stream_of(self, folder: str) -> str | None:
        """The stream that a folder of this name holds: LIDAR(...)_<hash> is no SEMANTIC-LIDAR(...)_<hash>."""
        for stream, (begins, _) in self.folders.items():
            if re.fullmatch(rf"{re.escape(begins)}(\(.*|_.*)?", folder):
                return stream
        return None


_SHARED = {"voxels": ("VOXEL_GRID", ".npy"), "anomaly": ("ANOMALY", ".csv")}
CURRENT = Release(
    "current",
    {
        "image": ("RGB-CAM", ".png"),
        "semantic_image": ("SEMANTIC-CAM", ".png"),
        "points": ("LIDAR", ".npy"),
        "semantic_points": ("SEMANTIC-LIDAR", ".npy"),
    },
)
FORMER = Release(
    "former",
    {
        "image": ("RGB_IMG", ".png"),
        "semantic_image": ("SEMANTIC_IMG", ".png"),
        "points": ("PCD", ".pcd"),
        "semantic_points": ("SEMANTIC_PCD", ".pcd"),
    },
)
_IN_BOTH = Release("both", _SHARED)

Ticks = Mapping[int, tuple[Path, ...]]


@dataclass(frozen=True)
class Scenario:
    """One drive.

    Attributes:
        name: its folder, from the data set's.
        files: of each stream that it has a folder of, the files of each tick, several where it has several sensors.
        has_setup: whether it says where its sensors are.
    """

    name: str
    release: Release
    files: Mapping[str, Ticks]
    has_setup: bool

    @property
    def ticks(self) -> Sequence[int]:
        """Ticks of camera and lidar, in order."""
        return sorted({tick for stream in ("image", "points") for tick in self.files.get(stream, {})})


def find_scenarios(root: Path, *, refuse_incomplete: bool) -> list[Scenario]:
    """The scenarios below a folder, or below the folders of releases in it, in the order of their names.

    Raises:
        NotFoundError: if there is none.
        SourceError: if two releases are mixed, a scenario is empty, or, where that is refused, files are missing or
            empty.
    """
    scenarios = [_read_scenario(root, folder) for folder in _scenario_folders(root)]
    if not scenarios:
        raise NotFoundError(
            f"{root} holds no scenarios of AnoVox: no folder in it, or in a folder of it, has "
            f"{listed([f'{begins}*/' for begins, _ in (CURRENT.folders['image'], FORMER.folders['image'])], last='or')}"
            ". Name the folder that holds Scenario_* with --data, or make some with `weldcache synth --field anovox`."
        )
    releases = Counter(scenario.release.name for scenario in scenarios)
    if len(releases) > 1:
        rarest = min(releases, key=lambda name: releases[name])
        named = [scenario.name for scenario in scenarios if scenario.release.name == rarest]
        raise SourceError(
            f"{root} mixes two releases of AnoVox: {count_of(len(named), 'scenario')} of the {rarest} one "
            f"({shortened(named, most=_SHOWN)}) among {len(scenarios)}. Keep each release in a folder of its own."
        )
    if not any(scenario.ticks for scenario in scenarios):
        raise SourceError(f"{root} has {count_of(len(scenarios), 'scenario')} and no frame: copy the data set again.")
    missing = list(_what_is_missing(scenarios))
    if missing and refuse_incomplete:
        raise SourceError(
            f"{root} is not whole: {shortened(missing, most=_SHOWN)}. Copy the data set again; or have what is missing "
            "told sample by sample with --set data.incomplete=absent."
        )
    _tell_oddities(root, scenarios)
    return scenarios


def _scenario_folders(root: Path) -> Iterator[Path]:
    for folder in _folders_in(root):
        if folder.name == CONFIGURATION:
            continue
        if _is_scenario(folder):
            yield folder
        else:
            yield from (inner for inner in _folders_in(folder) if inner.name != CONFIGURATION and _is_scenario(inner))


def _is_scenario(folder: Path) -> bool:
    held = {release.stream_of(each.name) for release in (CURRENT, FORMER) for each in _folders_in(folder)} - {None}
    if not held and _SCENARIO.match(folder.name):
        raise SourceError(
            f"{folder} has the name of a scenario and neither camera nor lidar in it: a copy was cut short, or its "
            "archive was not unpacked. Copy it again, or move it away."
        )
    return bool(held)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in list_folder(folder).folders]
    except OSError as error:
        raise SourceError(f"{folder} cannot be listed: {reason_of(error)}.") from error


def _read_scenario(root: Path, folder: Path) -> Scenario:
    folders = _folders_in(folder)
    held = {release.name: [each for each in folders if release.stream_of(each.name)] for release in (CURRENT, FORMER)}
    if all(held.values()):
        raise SourceError(
            f"{folder} mixes two releases of AnoVox: it has {held['current'][0].name}/ and {held['former'][0].name}/. "
            "Keep those of one."
        )
    release = CURRENT if held["current"] else FORMER
    files: dict[str, dict[int, tuple[Path, ...]]] = defaultdict(dict)
    for each in folders:
        found = next(((rel, name) for rel in (release, _IN_BOTH) if (name := rel.stream_of(each.name))), None)
        if found is not None:
            stream, suffix = found[1], found[0].folders[found[1]][1]
            ticks = files[stream]
            for tick, path in _files_by_tick(each, suffix=suffix).items():
                ticks[tick] = (*ticks.get(tick, ()), path)  # one of each sensor, in the order of their folders
    has_setup = (folder / "sensor_setup.json").is_file()
    return Scenario(folder.relative_to(root).as_posix(), release, dict(files), has_setup)


def _files_by_tick(folder: Path, *, suffix: str) -> dict[int, Path]:
    try:
        names = [name for name in list_folder(folder).files if name.lower().endswith(suffix)]
    except OSError as error:
        raise SourceError(f"{folder} cannot be listed: {reason_of(error)}.") from error
    files: dict[int, Path] = {}
    for name in names:
        told = _TICK.search(name[: -len(suffix)])
        if told is None:
            raise SourceError(f"{folder / name}: its name does not end in a frame's number, such as _101{suffix}.")
        tick = int(told[1])
        if tick in files:
            raise SourceError(f"{folder} has two files of the frame {tick}: {files[tick].name} and {name}.")
        files[tick] = folder / name
    return files


def _what_is_missing(scenarios: Sequence[Scenario]) -> Iterator[str]:
    """Frames without a file of a stream, streams that other scenarios have, and empty files, in words."""
    streams = [name for name in CURRENT.folders if any(name in scenario.files for scenario in scenarios)]
    streams += ["voxels"] if any("voxels" in scenario.files for scenario in scenarios) else []
    for scenario in scenarios:
        ticks = scenario.ticks
        if not ticks:
            yield f"{scenario.name} has no file of camera or lidar"
        for stream in streams:
            held = scenario.files.get(stream)
            if held is None:
                yield f"{scenario.name} has no folder of {stream}, which others have"
            elif lacking := [tick for tick in ticks if tick not in held]:
                yield (
                    f"{scenario.name} lacks {stream} of {len(lacking)} of {len(ticks)} frames (the first: {lacking[0]})"
                )
            elif empty := next((path for files in held.values() for path in files if not path.stat().st_size), None):
                yield f"{empty.relative_to(empty.parents[1])} of {scenario.name} is empty"


def _tell_oddities(root: Path, scenarios: Sequence[Scenario]) -> None:
    """Say what is unusual and harms nothing."""
    counts = Counter(len(scenario.ticks) for scenario in scenarios)
    usual = counts.most_common(1)[0][0]
    odd = [f"{each.name} has {len(each.ticks)}" for each in scenarios if len(each.ticks) != usual]
    if odd:
        say(f"{root}: most scenarios have {count_of(usual, 'frame')}; {shortened(odd, most=_SHOWN)}.")
    bare = [each.name for each in scenarios if not each.has_setup]
    if bare and len(bare) < len(scenarios):
        say(f"{root}: without sensor_setup.json, which nothing here needs: {shortened(bare, most=_SHOWN)}.")
