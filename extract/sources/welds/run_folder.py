"""One run's folder: which file belongs to which stream, what is missing, and what the machine's file holds."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ....wording import shortened, visible
from ..listing import PICTURE_FORMATS, Listing, composed, list_folder, of_formats
from ..source import SeriesFormat

# Of each stream, the format of the real data first, then the others that are read as well. Film, sound and sensors
# are one file each; the photographs have a folder of their own.
_FORMATS: Mapping[str, tuple[str, ...]] = {
    "video": (".avi", ".mp4", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv"),
    "audio": (".flac", ".wav", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif"),
    "sensor": (".csv",),
}
_STREAMS = ("video", "audio", "image", "sensor")
RECORDING_SUFFIXES = _FORMATS["video"] + _FORMATS["audio"]

_SHOWN = 3  # names in a message

_CURRENT, _VOLTAGE = "Primary Weld Current", "Secondary Weld Voltage"

# The machine's file: its columns, what can be believed of them, and when the arc burns.
WELDING_MACHINE = SeriesFormat(
    channels=("Pressure", "CO2 Weld Flow", "Feed", _CURRENT, "Wire Consumed", _VOLTAGE),
    limits=(100.0, 1000.0, 1000.0, 2000.0, 1e6, 1000.0),
    clock="Time",
    active=(_CURRENT, 50.0),
    exchangeable=(_CURRENT, _VOLTAGE, 10.0, 45.0),  # volts between which arcs burn; a waiting source may hold more
)


def machine_with(further: Mapping[str, float]) -> SeriesFormat:
    """What the machine's file holds, with `further` columns of it and their limits."""
    return replace(
        WELDING_MACHINE,
        channels=(*WELDING_MACHINE.channels, *further),
        limits=(*WELDING_MACHINE.limits, *further.values()),
    )


@dataclass(frozen=True)
class RunFiles:
    """The files of one run, by stream; why a stream has none; and the masks of its photographs."""

    files: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)  # those of `absent` for which something is there
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of files that were passed over, by stream
    masks: dict[Path, Path] = field(default_factory=dict)


def collect_run(root: Path, *, key: str) -> RunFiles:
    """List the run in `root / key`.

    Of several formats of film or sound, the first that lies there counts; of several files of that format, the one
    that bears the run's name. Where none does, the stream counts as absent, because a guess might take another
    weld's. Photographs may mix formats; of several with one name, the first format counts. Names of folders may be
    written in other cases (`Images`) and in the other normal form of Unicode, as after a copy from a Mac.
    """
    found = RunFiles()
    try:
        listing = _list_run(root, key=key)
    except OSError as error:
        for stream in _STREAMS:
            _give_up(found, stream, [f"it cannot be listed: {error.strerror}"], place=key)
        return found
    if listing is None:
        found.absent.update(dict.fromkeys(_STREAMS, f"there is no folder {key}"))
        return found
    for stream, formats in _FORMATS.items():
        _collect_recording(found, stream, formats, listing=listing, key=key)
    _collect_photographs(found, listing=listing, key=key)
    return found


def _list_run(root: Path, *, key: str) -> Listing | None:
    """The run's folder under the name that it has on this disk; None where there is none."""
    for spelling in dict.fromkeys([key, *(unicodedata.normalize(form, key) for form in ("NFC", "NFD"))]):
        try:
            return list_folder(root / spelling)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def _collect_recording(found: RunFiles, stream: str, formats: Sequence[str], *, listing: Listing, key: str) -> None:
    """Find the one file of a stream."""
    candidates, strange = of_formats(listing.files, formats), listing.strange(formats)
    if not candidates:
        _give_up(found, stream, strange, place=key, otherwise=f"no {formats[0]} in {key}{_other_kinds(listing)}")
        return
    suffix = formats[min(_rank(name, formats) for name in candidates)]
    of_format, run = of_formats(candidates, [suffix]), listing.folder.name
    chosen = _choose(of_format, run=run)
    if chosen is None:
        found.absent[stream] = f"{len(of_format)} {suffix} files in {key}, and not exactly one is named {run}{suffix}"
        return
    found.files[stream] = (listing.folder / chosen,)
    if passed := [visible(name) for name in candidates if name != chosen]:
        strange.append(f"{visible(chosen)} is read and {shortened(passed, most=_SHOWN)} beside it not")
    if strange:
        found.notes[stream] = tuple(strange)


def _choose(names: Sequence[str], *, run: str) -> str | None:
    if len(names) == 1:
        return names[0]
    namesakes = [name for name in names if composed(Path(name).stem) == composed(run)]
    return namesakes[0] if len(namesakes) == 1 else None


def _collect_photographs(found: RunFiles, *, listing: Listing, key: str) -> None:
    """Find the photographs, and the mask of each that has one: `masks/<stem>.png`."""
    name = _sub_folder(listing, "images")
    place = f"{key}/{name}"
    try:
        pictures = list_folder(listing.folder / name)
    except FileNotFoundError:
        found.absent["image"] = f"no .jpg in {place}"
        return
    except OSError as error:
        _give_up(found, "image", [f"it cannot be listed: {error.strerror}"], place=place)
        return
    candidates, notes = of_formats(pictures.files, PICTURE_FORMATS), pictures.strange(PICTURE_FORMATS)
    if not candidates:
        _give_up(found, "image", notes, place=place, otherwise=f"no .jpg in {place}{_other_kinds(pictures)}")
        return
    by_stem: dict[str, str] = {}
    for candidate in sorted(candidates, key=lambda candidate: _rank(candidate, PICTURE_FORMATS)):
        by_stem.setdefault(Path(candidate).stem, candidate)
    found.files["image"] = tuple(pictures.folder / chosen for chosen in sorted(by_stem.values()))
    if copies := [visible(copy) for copy in candidates if copy not in by_stem.values()]:
        notes.append(f"{shortened(copies, most=_SHOWN)} bears the name of a photograph in another format: not read")
    try:
        _collect_masks(found, listing=listing)
    except OSError as error:
        notes.append(f"its masks cannot be listed: {error.strerror}")
    if notes:
        found.notes["image"] = tuple(notes)


def _give_up(found: RunFiles, stream: str, strange: Sequence[str], *, place: str, otherwise: str = "") -> None:
    """No file of a stream: something that is none is there, or nothing at all."""
    if strange:
        found.unreadable.add(stream)
    found.absent[stream] = f"{place}: {'; '.join(strange)}" if strange else otherwise


def _collect_masks(found: RunFiles, *, listing: Listing) -> None:
    folder = listing.folder / _sub_folder(listing, "masks")
    if folder.name not in listing.folders:
        return
    drawn = {name.lower(): name for name in list_folder(folder).files}
    for path in found.files["image"]:
        if name := drawn.get(f"{path.stem.lower()}.png"):
            found.masks[path] = folder / name


def _sub_folder(listing: Listing, name: str) -> str:
    """`name`, or that of a folder which differs from it in case alone."""
    alike = [folder for folder in listing.folders if folder.lower() == name]
    return name if name in alike else next(iter(alike), name)


def _rank(name: str, formats: Sequence[str]) -> int:
    """Place of a name's format among `formats`."""
    return next(rank for rank, suffix in enumerate(formats) if name.strip().lower().endswith(suffix))


def _other_kinds(listing: Listing) -> str:
    """Files there of which nothing is known, for whoever wonders why theirs is not found."""
    known = [suffix for formats in (*_FORMATS.values(), PICTURE_FORMATS) for suffix in formats]
    unknown = [visible(name) for name in listing.files if not of_formats([name], known)]
    return f"; of kinds that are not read: {shortened(unknown, most=_SHOWN)}" if unknown else ""
