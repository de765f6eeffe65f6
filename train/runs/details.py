"""All about one run: what it was trained on, with which settings, what it reached, and which files it has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...configs.load import DEFAULT_PRESET, fields, load_settings, preset_names
from ...configs.schema import Settings
from ...documents import Json, faults_told
from ...errors import TrainingError
from .catalogue import REPORTS, RunEntry, file_sizes, read_entry, read_report, tried
from .documents import Member, Report, fingerprints_of
from .folder import RunFolder

_LONG = ("cache", "members", "samples", "versions", "checksum", "config_sha256")  # of use to programs only


@dataclass(frozen=True)
class RunDetails:
    """A run as far as it can be read.

    Attributes:
        entry: its line in the list.
        path: its folder.
        facts: its manifest, but for what is long.
        members: the runs that a fused run was made of.
        features: what the manifest says of the features that it was trained on.
        cache: the store that they were in; empty where the settings cannot be read.
        samples: fingerprint of the keys in each split, which tells whether two runs saw the same.
        settings: by dotted name, all but the paths. Of a fused run those of its members, as `<member>/<name>`: its own
            say where it was scored, and made nothing.
        preset: the preset that they are nearest to; of a fused run each member's, as `<preset> for <member>`.
        changed: names of those that are not as in `preset`, with the preset's value.
        reports: what evaluations found, by split.
        files: size of each file, by name.
    """

    entry: RunEntry
    path: Path
    facts: Mapping[str, Any]
    members: Sequence[str]
    features: Mapping[str, Any]
    cache: str
    samples: Mapping[str, str]
    settings: Mapping[str, Json]
    preset: str
    changed: Mapping[str, Json]
    reports: Mapping[str, Report]
    files: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """As JSON values, but for the features, of which the fingerprint is enough."""
        return {
            **self.facts,
            **self.entry.as_json(),
            "path": str(self.path),
            "members": list(self.members),
            "cache": self.cache,
            "samples": dict(self.samples),
            "preset": self.preset,
            "changed": {name: {"here": self.settings[name], "preset": value} for name, value in self.changed.items()},
            "settings": dict(self.settings),
            "reports": {split: dict(report) for split, report in self.reports.items()},
            "files": dict(self.files),
        }


def describe_run_folder(run: RunFolder, *, folder: Path) -> RunDetails:
    """Read all about a run in `folder`; what cannot be read is among the faults of its entry."""
    entry = read_entry(run, folder=folder)
    faults = list(entry.faults)
    manifest = tried(run.manifest, None, faults=faults)
    settings = tried(run.settings, None, faults=faults)
    found = {split: tried(partial(read_report, run, split=split), None, faults=faults) for split in REPORTS}
    members = [] if manifest is None else manifest.get("members", [])
    own: dict[str, Settings] = {} if settings is None else {"": settings}
    nothing: dict[str, Settings] = {}
    made_by = tried(lambda: settings_of_members(members, run=run), nothing, faults=faults) if members else own
    preset, changed = _nearest_presets(made_by, run=run)
    facts: Mapping[str, Any] = {} if manifest is None else manifest
    return RunDetails(
        entry=replace(entry, faults=tuple(dict.fromkeys(faults)), status="damaged" if faults else entry.status),
        path=run.path,
        facts={name: value for name, value in facts.items() if name not in _LONG},
        members=[member["name"] for member in members],
        features={} if manifest is None else manifest["cache"],
        cache="" if settings is None else str(settings.cache.path),
        samples={} if manifest is None else fingerprints_of(manifest["samples"]),
        settings=_prefixed({member: _told(each) for member, each in made_by.items()}),
        preset=preset,
        changed=changed,
        reports={split: report for split, report in found.items() if report is not None},
        files=dict(file_sizes(run.path)),
    )


def settings_of_members(members: Iterable[Member], *, run: RunFolder) -> dict[str, Settings]:
    """What made the members of a fused run, by name; those of a fused member as `<member>/<its member>`.

    Args:
        members: as the run's manifest tells them.
        run: for the message.

    Raises:
        TrainingError: if they are of a version with other settings.
    """
    try:
        return dict(_each_member(members))
    except ValidationError as error:
        raise TrainingError(
            f"{run.manifest_path} does not tell the settings of what was fused ({faults_told(error)})."
        ) from None


def _each_member(members: Iterable[Member]) -> Iterator[tuple[str, Settings]]:
    for member in members:
        if "members" in member:
            yield from ((f"{member['name']}/{name}", settings) for name, settings in _each_member(member["members"]))
        else:
            yield member["name"], Settings.model_validate(member["settings"])


def _prefixed(by_member: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    """All in one, as `<member>/<name>`; without a prefix those of a run that made itself, whose name here is empty."""
    return {
        f"{member}/{name}" if member else name: value
        for member, values in by_member.items()
        for name, value in values.items()
    }


def _told(settings: Settings) -> dict[str, Json]:
    """All settings by dotted name but the paths, which say where things are and not what is done with them."""
    sections = settings.model_dump(mode="json")
    names = [key.partition(".") for key, field in fields() if field.annotation is not Path]
    return {f"{section}.{name}": sections[section][name] for section, _, name in names}


def _nearest_presets(made_by: Mapping[str, Settings], *, run: RunFolder) -> tuple[str, dict[str, Json]]:
    """The nearest preset, or each member's in words, and its value of each setting that differs."""
    nearest = {member: _nearest_preset(settings, run=run) for member, settings in made_by.items()}
    presets = (f"{preset} for {member}" if member else preset for member, (preset, _) in nearest.items())
    return ", ".join(presets), _prefixed({member: changed for member, (_, changed) in nearest.items()})


def _nearest_preset(settings: Settings, *, run: RunFolder) -> tuple[str, dict[str, Json]]:
    """The preset from which the fewest settings differ, and its value of each that does."""
    here, differing = _told(settings), {}
    for preset in preset_names():
        there = _told(load_settings(preset, folder=run.path))  # in which no weldcache.yaml changes a preset
        differing[preset] = {name: value for name, value in there.items() if here[name] != value}
    nearest = min(differing, key=lambda preset: (len(differing[preset]), preset != DEFAULT_PRESET))
    return nearest, differing[nearest]
