"""Video: frames of the whole recording, of the time in which something goes on or of consecutive clips, to tubelet
tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from einops import rearrange

from ...cache.arrays import ACTIVE, ArraySpec, FeatureSetSpec, StorageType
from ...errors import DecodeError
from ..backbones.spec import Preparation, VideoBackbone
from ..decode.decoded import VideoClip
from ..decode.sensor import active_window
from ..decode.video import Window, decode_video, lit_window
from ..sources.source import Sample, SeriesFormat, series_told
from .kind import OPENCV, Features, Prepared, StreamReader, Tools, active_array, made_by
from .series import check_limits
from .settings import FilmSettings


@dataclass(frozen=True)
class Activity:
    """A stream of measurements that tell when something goes on, and what its files hold."""

    stream: str
    series: SeriesFormat


@dataclass(frozen=True)
class FilmReader(StreamReader):
    """Sampled frames as the backbone takes them: {"frames": (clips * time, 3, size, size), ACTIVE: (2,)}."""

    settings: FilmSettings
    preparation: Preparation[VideoClip]
    activity: Activity | None = None  # where sampling = active, as far as the data set's source tells

    def files(self, sample: Sample) -> tuple[Path, ...]:
        """The film, and the measurements where they may have to say when something goes on."""
        return super().files(sample) + self._measurements(sample)

    def __call__(self, sample: Sample) -> Prepared:
        window, notes = self._window(sample) if self.settings.sampling == "active" else (None, ())
        clip = decode_video(
            sample.files[self.stream][0],
            num_frames=self.settings.num_frames,
            num_clips=_num_clips(self.settings),
            window=window,
            limits=self.settings,
        )
        tensors = {"frames": self.preparation(clip), ACTIVE: torch.from_numpy(clip.active)}
        return Prepared(tensors, notes=clip.notes + notes, extents=clip.extents)

    def _measurements(self, sample: Sample) -> tuple[Path, ...]:
        return () if self.activity is None else sample.files.get(self.activity.stream, ())

    def _window(self, sample: Sample) -> tuple[Window, tuple[str, ...]]:
        """When something goes on, by the film's own light, since measurements have a clock of their own. Where the film
        does not tell, they do, and a note says so."""
        (film,) = sample.files[self.stream]
        window = lit_window(film, limits=self.settings)
        if window is not None:
            return window, ()
        dark = f"{film}: the light does not tell when anything goes on"
        measurements = self._measurements(sample)
        if self.activity is None or not measurements:
            raise DecodeError(f"{dark}, and there are no sensors.")
        try:
            window = active_window(measurements[0], series=self.activity.series)
        except DecodeError as error:
            raise DecodeError(f"{dark}, and neither do the sensors ({str(error).removesuffix('.')}).") from error
        return window, (f"{dark}: the window {window[0]:.1f} to {window[1]:.1f} s is that of the sensors' clock",)


class FilmEncoder:
    """Tokens (time, dim): mean over space of each tubelet, clip after clip; and their mean over time (dim,)."""

    def __init__(
        self,
        name: str,
        settings: FilmSettings,
        *,
        backbone: VideoBackbone,
        dtype: StorageType,
        activity: Activity | None = None,
    ) -> None:
        """`activity` is as the data set's source tells it."""
        self._backbone = backbone
        self._num_clips = _num_clips(settings)
        self.reader = FilmReader(settings, backbone.preparation, _within(activity, settings, name=name))
        num_tokens = self._num_clips * backbone.num_tokens
        arrays = [
            ArraySpec("tokens", (num_tokens, backbone.dim), ("time", "dim"), dtype),
            ArraySpec("embedding", (backbone.dim,), ("dim",), dtype),
            active_array(),
        ]
        sampling: dict[str, object] = {
            "num_frames": settings.num_frames,
            "sampling": settings.sampling,
            "num_clips": self._num_clips,
        }
        if settings.sampling == "active":
            # In the words that stores have had from the first, so that their fingerprints stay.
            told = "the film's light" if activity is None else "the film's light, else the sensors' current"
            sampling |= {"sampling": ACTIVE, ACTIVE: told}
            limits = settings.sensor_limits
            if limits is not None and activity is not None and limits != activity.series.limits:
                sampling["sensor_limits"] = list(limits)
        self.specs = [FeatureSetSpec(name, arrays, made_by(backbone.spec, decoding=sampling, decoders=[OPENCV]))]

    def load(self) -> None:
        self._backbone.load()

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """All clips of all samples are one batch."""
        frames = torch.stack([item.tensors["frames"] for item in prepared])
        encoded = self._backbone(
            rearrange(frames, "sample (clip time) ... -> (sample clip) time ...", clip=self._num_clips)
        )
        tokens = rearrange(encoded["tokens"], "(sample clip) time dim -> sample (clip time) dim", clip=self._num_clips)
        embedding = rearrange(encoded["embedding"], "(sample clip) dim -> sample clip dim", clip=self._num_clips).mean(
            1
        )
        active = torch.stack([item.tensors[ACTIVE] for item in prepared])
        return {name: {"tokens": tokens, "embedding": embedding, ACTIVE: active} for name in feature_sets}

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return self._num_clips * self._backbone.flops()


def _num_clips(settings: FilmSettings) -> int:
    return settings.num_clips if settings.sampling == "clips" else 1


def _within(activity: Activity | None, settings: FilmSettings, *, name: str) -> Activity | None:
    """What tells when something goes on, with the limits that are set; None where nobody asks for it."""
    if activity is None or settings.sampling != "active":
        return None
    series = replace(activity.series, limits=settings.sensor_limits or activity.series.limits)
    check_limits(series, key=f"features.{name}.sensor_limits")
    return replace(activity, series=series)


def make(name: str, settings: FilmSettings, tools: Tools) -> FilmEncoder:
    backbone = tools.backbones.clips(
        settings, key=f"features.{name}", num_frames=settings.num_frames, size=settings.size
    )
    told = (Activity(*each) for each in series_told(tools.source).items() if each[1].active is not None)
    return FilmEncoder(name, settings, backbone=backbone, dtype=tools.dtype, activity=next(told, None))
