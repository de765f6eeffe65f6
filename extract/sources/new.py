"""Files, folders and tables that somebody names, as samples of which nothing is known: no split, no label, no store.

What a name means follows from the source that a model's training data came from: its settings name what lists new ones
(`DataSettings.lists_new`), a function of the settings, a path and how many pictures of a sample are looked at. Where
they name nothing, a folder is opened as one of its data sets, and what that says of splits and targets is passed over.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...cache.targets import TargetSpec
from ...configs.section import imported
from ...errors import NotFoundError, SourceError
from ...wording import listed
from ..settings import SOURCES, DataSettings
from .source import Sample, SeriesFormat, Source, series_told


@dataclass(frozen=True)
class NewSamples:
    """A `Source` of samples that no data set has.

    Attributes:
        root: a folder that all of their files lie below.
        told: what was passed over or is not looked at, in words for the user.
    """

    noun: str
    root: Path
    listed: Sequence[Sample]
    formats: Mapping[str, SeriesFormat] = field(default_factory=dict)
    told: Sequence[str] = ()

    def targets(self) -> Sequence[TargetSpec]:
        return ()

    def samples(self) -> Sequence[Sample]:
        return self.listed

    def series(self) -> Mapping[str, SeriesFormat]:
        return self.formats


def new_samples(settings: DataSettings, paths: Sequence[Path], *, num_views: int) -> NewSamples:
    """The samples at all of `paths`, read as the data set of `settings` was; keys are told from each path.

    `num_views` is how many pictures of a sample are looked at.

    Raises:
        NotFoundError: if a path is not there.
        SourceError: if one cannot be read as a sample, a folder or a table of the source, or two samples have one key.
    """
    each = []
    for path in dict.fromkeys(Path(os.path.normpath(path.absolute())) for path in paths):
        if not os.path.lexists(path):
            raise NotFoundError(f"There is no {path}: name files, folders or a table of new samples.")
        each.append(_at(settings, path, num_views=num_views))
    keys = [sample.key for found in each for sample in found.listed]
    if len(set(keys)) < len(keys):  # as of two folders that are laid out alike
        each = [_by_whole_path(found) for found in each]
    return NewSamples(
        noun=each[0].noun,
        root=Path(os.path.commonpath([found.root for found in each])),
        listed=_once(sample for found in each for sample in found.listed),
        formats={name: one for found in each for name, one in found.formats.items()},
        told=[line for found in each for line in found.told],
    )


def _at(settings: DataSettings, path: Path, *, num_views: int) -> NewSamples:
    if settings.lists_new:
        list_new: Callable[..., NewSamples] = imported(settings.lists_new)
        return list_new(settings, path, num_views=num_views)
    return _data_set(settings, path)


def _data_set(settings: DataSettings, path: Path) -> NewSamples:
    """A folder as a data set of a package's source."""
    if not path.is_dir():
        raise SourceError(f"{path} is no folder: what is of the source {settings.source} is listed from its folder.")
    make: Callable[[DataSettings], Source] = SOURCES.code(settings.source)
    source = make(settings.model_copy(update={"root": path}))
    samples = [replace(sample, split="test", targets={}) for sample in source.samples()]
    names = [target.name for target in source.targets()]
    told = [f"{path}: not looked at: {listed(names)}"] if names else []
    return NewSamples(source.noun, path, samples, series_told(source), told)


def _once(samples: Iterable[Sample]) -> list[Sample]:
    """Each sample once, that several paths may lead to."""
    by_key: dict[str, Sample] = {}
    for sample in samples:
        first = by_key.setdefault(sample.key, sample)
        if (first.files, first.vectors) != (sample.files, sample.vectors):
            raise SourceError(
                f"Two samples are called {sample.key}, as of two tables in one folder: give each a key of its own, or "
                "name one table at a time."
            )
    return list(by_key.values())


def _by_whole_path(found: NewSamples) -> NewSamples:
    samples = [replace(sample, key=(found.root / sample.key).as_posix()) for sample in found.listed]
    return replace(found, listed=samples)
