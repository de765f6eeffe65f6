"""What samples look like: photographs, a strip of the film, the sound's spectrogram, measurements over normals' band,
clouds of points from above.

Files are read once more for this, by the paths that the store recorded below the data set's folder; measurements and
points are in the store itself. What is gone or does not decode is said in the sample's panel, and fails nothing: a
report is about scores.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

from ..cache.status import SourceFile, Status
from ..cache.store import FeatureStore
from ..configs.section import Section as SettingsSection
from ..errors import WeldcacheError
from ..extract.decode.audio import SAMPLE_RATE, decode_audio
from ..extract.decode.image import decode_photographs
from ..extract.decode.mel_levels import log_mel
from ..extract.decode.video import decode_video
from ..extract.features.settings import CloudSettings, FilmLimits, PicturesSettings, RecordingSettings, SeriesSettings
from ..train.data.features import Rows
from .exhibits import Medium, Panel, Picture, SampleBook, Trace, Traces
from .localise.maps import ColourScale, PictureMap, SampleMaps, TimeMap
from .settings import Media

_LARGE, _SMALL, _THUMBNAIL = 420, 200, 112  # pixels of the longer side: a first photograph, further ones, of a table
_NUM_FRAMES, _FRAME_HEIGHT, _GAP = 6, 90, 2
_SOUND_COLUMNS, _NUM_BANDS, _DECIBELS = 480, 64, 70.0
_MOST_DOTS = 2000  # of a cloud
_MOST_NORMALS = 2000  # whose measurements make a band
_THUMBNAIL_BYTES = 7_000_000  # of all small pictures together, which leaves a page below 15 MB
_QUALITY = 72
_STRANGE, _OPAQUE = (0, 60, 255), 190  # blue, green and red of what is laid over a picture; of 255

RGB = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class _Stream:
    """Files of one kind that samples have: what they are, and the feature set whose records name them."""

    name: str
    section: SettingsSection
    feature_set: str


@dataclass(frozen=True, eq=False)
class SampleMedia:
    """Reads what samples of a store look like.

    Attributes:
        root: folder of the data set.
        features: the settings of the features, by name: they say what is in which stream.
        rows: those that may be asked for.
        normals: rows that are normal for sure, such as those that were trained on.
        maps: where the model finds rows strange, by row; of as many as it is known of.
    """

    store: FeatureStore
    root: Path
    features: Mapping[str, SettingsSection]
    rows: Rows
    normals: Rows
    maps: Mapping[int, SampleMaps] = field(default_factory=dict)

    @cached_property
    def streams(self) -> Sequence[_Stream]:
        """The streams that can be shown, each once, as the first feature of the store that is made of it says; pictures
        first."""
        found: dict[str, _Stream] = {}
        for feature, section in self.features.items():
            sets = [name for name in self.store.feature_sets if name.partition("/")[0] == feature]
            stream = getattr(section, "stream", None)
            if sets and isinstance(stream, str) and isinstance(section, tuple(_SHOWN)):
                found.setdefault(stream, _Stream(stream, section, sets[0]))
        kinds = list(_SHOWN)

        def place(stream: _Stream) -> int:
            return next(place for place, kind in enumerate(kinds) if isinstance(stream.section, kind))

        return sorted(found.values(), key=place)

    def files(self, row: int) -> dict[str, list[Path]]:
        """The files of a row by stream, as far as their paths lead nowhere else than below the data set's folder."""
        return {
            name: [path for file in of_row[row] if (path := file.below(self.root)) is not None]
            for name, of_row in self._sources.items()
        }

    @cached_property
    def _sources(self) -> Mapping[str, Mapping[int, Sequence[SourceFile]]]:
        """What each row was made from, by stream; read at once, as a chunk of these records holds many rows."""
        return {
            each.name: dict(zip(self.rows.tolist(), self.store.sources(each.feature_set, self.rows), strict=True))
            for each in self.streams
        }

    def panel(self, row: int) -> Panel:
        """All that can be shown of a row."""
        media: dict[str, Sequence[Medium]] = {}
        notes: list[str] = []
        files, is_there = self.files(row), self.root.is_dir()
        if not is_there:
            notes.append(f"Files cannot be shown: the data set's folder {self.root.name} is not there any more.")
        for stream in self.streams:
            if not is_there and not isinstance(stream.section, SeriesSettings | CloudSettings):
                continue
            try:
                shown = list(self._shown(stream, row, files[stream.name]))
            except (WeldcacheError, MemoryError, OSError) as error:
                # Reports are passed on: paths are told from the data set's folder.
                notes.append(f"{stream.name} cannot be shown: {str(error).replace(f'{self.root}/', '')}")
                continue
            if shown:
                media[stream.name] = shown
            else:
                notes.append(f"There is no {stream.name} of this sample.")
        if times := self.maps.get(row, SampleMaps()).times:
            media["score over time"] = [_over_time(times)]
        return Panel(media, notes)

    def thumbnail(self, row: int) -> Picture | None:
        """The first photograph of a row, or else its cloud, small; None where there is none that can be read."""
        for stream in self.streams:
            if isinstance(stream.section, CloudSettings):
                return next(self._from_above(stream, row, side=_THUMBNAIL), None)
            if isinstance(stream.section, PicturesSettings) and (files := self.files(row)[stream.name]):
                try:
                    shown = decode_photographs(
                        files[:1],
                        num_views=1,
                        masks=stream.section.masks,
                        max_megapixels=stream.section.max_megapixels,
                        smallest_side=_THUMBNAIL,
                    )
                except (WeldcacheError, MemoryError, OSError):
                    return None
                return next(
                    (_picture(view, _THUMBNAIL, "photograph") for view in shown.views if view is not None), None
                )
        return None

    def _shown(self, stream: _Stream, row: int, files: Sequence[Path]) -> Iterator[Medium]:
        if isinstance(stream.section, SeriesSettings):
            yield from self._measured(stream, row)
        elif isinstance(stream.section, CloudSettings):
            yield from self._from_above(stream, row, side=_SMALL)
        elif files and isinstance(stream.section, PicturesSettings):
            yield from self._photographs(files, stream.section, row)
        elif files:
            show: Callable[..., Iterable[Medium]] = next(
                show for kind, show in _SHOWN.items() if isinstance(stream.section, kind)
            )
            yield from show(files, stream.section)

    def _photographs(self, files: Sequence[Path], section: PicturesSettings, row: int) -> Iterator[Picture]:
        """Every view, without what the settings paint over; not cropped, so that what was cut away is seen too."""
        shown = decode_photographs(
            files, num_views=section.num_views, masks=section.masks, max_megapixels=section.max_megapixels
        )
        mapped: dict[int, PictureMap] = {}
        for each in self.maps.get(row, SampleMaps()).pictures:
            mapped.setdefault(each.view, each)
        present = [(view, picture) for view, picture in enumerate(shown.views) if picture is not None]
        for place, (view, picture) in enumerate(present):
            caption = f"view {view + 1}" if section.num_views > 1 else ""
            small = _picture(picture, _SMALL if place else _LARGE, f"photograph, view {view + 1}", caption=caption)
            yield replace(small, overlay=self._overlay(mapped[view], picture, small)) if view in mapped else small

    def _overlay(self, found: PictureMap, picture: RGB, small: Picture) -> bytes:
        """A picture of one colour, the less translucent the stranger a place; of the size of the `small` one."""
        height, width = picture.shape[:2]
        left, top, right, bottom = found.box
        across, down = small.width / width, small.height / height
        columns = slice(round(left * across), max(round(right * across), round(left * across) + 1))
        rows = slice(round(top * down), max(round(bottom * down), round(top * down) + 1))
        layer = np.zeros((small.height, small.width, 4), dtype=np.uint8)
        layer[..., :3] = _STRANGE
        part = layer[rows, columns]
        spread = cv2.resize(
            self._scale.shares(found.scores), (part.shape[1], part.shape[0]), interpolation=cv2.INTER_LINEAR
        )
        part[..., 3] = np.round(_OPAQUE * spread).astype(np.uint8)
        done, content = cv2.imencode(".webp", layer, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
        assert done
        return content.tobytes()

    @cached_property
    def _scale(self) -> ColourScale:
        return ColourScale.of(self.maps.values())

    def _measured(self, stream: _Stream, row: int) -> Iterator[Traces]:
        """Measurements as the store holds them, over the band of normals."""
        if self.store.status(stream.feature_set)[row] != Status.COMPLETE:
            return
        held = self.store.arrays(stream.feature_set)
        values = np.asarray(self.store.read(f"{stream.feature_set}/values", [row])[0])
        low, high, num_normals = self._bands(stream.feature_set)
        names = held["values"].attributes.get("channels")
        channels = [str(name) for name in names] if isinstance(names, list) else []
        if len(channels) != values.shape[1]:
            channels = [f"channel {number}" for number in range(1, values.shape[1] + 1)]
        traces = [
            Trace(name, column.astype(np.float64), *((low[:, place], high[:, place]) if num_normals else ()))
            for place, (name, column) in enumerate(zip(channels, values.T, strict=True))
        ]
        band = f"; the band holds nine in ten of {num_normals} training normals" if num_normals else ""
        # Stores that others made may not say when a step was.
        seconds = float(self.store.read(f"{stream.feature_set}/times", [row])[0][-1]) if "times" in held else 0.0
        length = f"{seconds:.3g} s" if seconds else f"{len(values)} steps"
        yield Traces(f"{stream.name} over {length}", seconds, traces, caption=f"{length}{band}")

    def _from_above(self, stream: _Stream, row: int, *, side: int) -> Iterator[Picture]:
        """A cloud as the store holds it, seen against z: x to the right, y upwards, the brighter the higher."""
        channels = self.store.arrays(stream.feature_set)["points"].attributes.get("channels")
        is_complete = self.store.status(stream.feature_set)[row] == Status.COMPLETE
        if not is_complete or not isinstance(channels, list) or not {"x", "y", "z"} <= set(channels):
            return
        points = np.asarray(self.store.read(f"{stream.feature_set}/points", [row])[0], dtype=np.float64)
        points = points[np.isfinite(points).all(axis=1)][:, [channels.index(name) for name in ("x", "y", "z")]]
        if len(points):
            caption = f"{len(points):,} points from above; the brighter, the higher" if side > _THUMBNAIL else ""
            yield _dotted(points[:: -(-len(points) // _MOST_DOTS)], side=side, caption=caption)

    def _bands(self, feature_set: str) -> tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."], int]:
        """Between what values nine in ten normals lie, step by step, all stretched to one length; and of how many."""
        if feature_set not in self._known_bands:
            complete = self.normals[self.store.status(feature_set)[self.normals] == Status.COMPLETE]
            chosen = complete[:: max(1, -(-len(complete) // _MOST_NORMALS))]
            values = np.asarray(self.store.read(f"{feature_set}/values", chosen), dtype=np.float64)
            low, high = np.percentile(values, (5, 95), axis=0) if len(chosen) else (np.empty((0, 0)),) * 2
            self._known_bands[feature_set] = (low, high, len(chosen))
        return self._known_bands[feature_set]

    @cached_property
    def _known_bands(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], int]]:
        return {}


def sample_book(
    media: SampleMedia,
    *,
    worth_seeing: Collection[int],
    shown: Media,
    of_judge: Mapping[int, Mapping[str, Sequence[Medium]]] = MappingProxyType({}),
) -> SampleBook:
    """Panels and small pictures of the rows of `media`, by their places among them.

    Args:
        media: reads them.
        worth_seeing: places of those that have a panel in any case.
        shown: none: no media; thumbnails: panels of these, and of all others a small photograph, as long as there is
            room; full: panels of all, however large the page becomes.
        of_judge: what a judge itself has to show of some of them, which stands behind the rest of their panels.
    """
    if shown == "none" or not media.streams:
        return SampleBook()
    rows = media.rows
    places = sorted(set(range(len(rows))) if shown == "full" else set(worth_seeing))
    panels = {place: media.panel(int(rows[place])) for place in places}
    for place in of_judge.keys() & panels.keys():
        panels[place] = replace(panels[place], media={**panels[place].media, **of_judge[place]})
    thumbnails: dict[int, Picture] = {}
    room = _THUMBNAIL_BYTES
    for place in range(len(rows)):
        if place not in panels and room > 0 and (small := media.thumbnail(int(rows[place]))) is not None:
            thumbnails[place] = small
            room -= len(small.content) * 4 // 3
    return SampleBook(panels, thumbnails)


def _strip(files: Sequence[Path], section: FilmLimits) -> Iterator[Picture]:
    """Frames beside each other, evenly spread over the film."""
    limits = FilmLimits(max_megapixels=section.max_megapixels, max_gigapixels=section.max_gigapixels)
    clip = decode_video(files[0], num_frames=_NUM_FRAMES, limits=limits)
    height, width = clip.frames.shape[1:3]
    size = (max(1, round(width * _FRAME_HEIGHT / height)), _FRAME_HEIGHT)
    frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in clip.frames]
    gap = np.full((_FRAME_HEIGHT, _GAP, 3), 128, dtype=np.uint8)
    strip = np.concatenate([part for frame in frames for part in (frame, gap)][:-1], axis=1)
    told = f"from {clip.times[0]:.1f} to {clip.times[-1]:.1f} s"
    yield _encoded(strip, f"{len(frames)} frames of the film, {told}", caption=f"film {told}")


def _spectrogram(files: Sequence[Path], section: RecordingSettings) -> Iterator[Picture]:
    """Level by frequency, on the mel scale, over time."""
    windows = decode_audio(
        files[0], max_seconds=section.max_seconds, rates=section.rates, max_channels=section.max_channels
    )
    waveform = windows.samples.ravel()[: int(windows.num_valid.sum())]
    levels = log_mel(waveform, num_bands=_NUM_BANDS)
    starts = np.unique(np.linspace(0, len(levels), _SOUND_COLUMNS, endpoint=False).astype(int))
    columns = np.maximum.reduceat(levels, starts, axis=0)
    loudest = float(columns.max())
    shares = np.clip((columns - loudest + _DECIBELS) / _DECIBELS, 0, 1)
    grey = np.ascontiguousarray((255 * shares.T[::-1]).astype(np.uint8))
    enlarged = cv2.resize(grey, (_SOUND_COLUMNS, 2 * _NUM_BANDS), interpolation=cv2.INTER_LINEAR)
    coloured = cv2.cvtColor(cv2.applyColorMap(enlarged, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB)
    seconds = len(waveform) / SAMPLE_RATE
    caption = f"sound over {seconds:.3g} s, 50 to 8,000 Hz from bottom to top; brightest: {loudest:.0f} dB"
    yield _encoded(np.asarray(coloured), f"spectrogram of the sound over {seconds:.3g} s", caption=caption)


def _over_time(found: Sequence[TimeMap]) -> Traces:
    """What each moment adds to the score, of each recording on a clock of its own."""
    seconds = max(float(each.seconds[-1]) for each in found)
    traces = [Trace(each.feature, each.scores.astype(np.float64)) for each in found]
    return Traces("score by moment", seconds, traces, caption="what each moment adds to the score; higher is stranger")


_SHOWN: Mapping[type[SettingsSection], Callable[..., Iterable[Medium]]] = {
    PicturesSettings: lambda *_: (),  # may have maps laid over them
    FilmLimits: _strip,
    RecordingSettings: _spectrogram,
    CloudSettings: lambda *_: (),  # read from the store
    SeriesSettings: lambda *_: (),  # read from the store
}


def _dotted(points: Float64[np.ndarray, "points 3"], *, side: int, caption: str) -> Picture:
    """Points as dots on nothing, so that they stand on a page of any colour; the highest are drawn last."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = float((high - low)[:2].max()) or 1.0
    middle, dot = (low + high)[:2] / 2, max(1, side // 100)
    order = np.argsort(points[:, 2], kind="stable")
    places = np.round(side / 2 + (points[order, :2] - middle) * [1, -1] * (side - 4 * dot - 1) / span).astype(int)
    levels = np.round(255 * (points[order, 2] - low[2]) / ((high - low)[2] or 1.0)).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS).reshape(-1, 3)
    layer = np.zeros((side, side, 4), dtype=np.uint8)
    for place, colour in zip(places.tolist(), colours.tolist(), strict=True):
        cv2.circle(layer, place, dot, (*colour, 255), thickness=-1)
    done, content = cv2.imencode(".webp", layer, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    assert done
    return Picture(content.tobytes(), side, side, f"{len(points)} points from above", caption)


def _picture(picture: RGB, side: int, description: str, *, caption: str = "") -> Picture:
    """A picture shrunken so that its longer side has `side` pixels; never enlarged."""
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return _encoded(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)), description, caption=caption)


def _encoded(picture: RGB, description: str, *, caption: str = "") -> Picture:
    done, content = cv2.imencode(
        ".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    )
    assert done
    return Picture(content.tobytes(), picture.shape[1], picture.shape[0], description, caption)
