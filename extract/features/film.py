"""Video: frames of the whole recording, of the time in which the process goes on or of consecutive clips, to tubelet
tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from einops import rearrange

from ...cache.arrays import ArraySpec, FeatureSetSpec, StorageType
from ...errors import DecodeError
from ..backbones.spec import Preparation, VideoBackbone
from ..decode.decoded import VideoClip
from ..decode.sensor import arc_on_window
from ..decode.video import Window, decode_video, lit_window
from ..sources.source import Sample
from ..sources.welds.run_folder import WELDING_MACHINE
from .kind import OPENCV, Features, Prepared, StreamReader, Tools, arc_on_array, made_by
from .settings import SENSOR_LIMITS, FilmSettings


@dataclass(frozen=True)
class FilmReader(StreamReader):
    """Sampled frames as the backbone takes them: {"frames": (clips * time, 3, size, size), "arc_on": (2,)}."""

    settings: FilmSettings
    preparation: Preparation[VideoClip]

    def files(self, sample: Sample) -> tuple[Path, ...]:
        """The film, and the sensors' file where it may have to say when the process goes on."""
        sensors = sample.files.get("sensor", ()) if self.settings.sampling == "arc_on" else ()
        return super().files(sample) + sensors

    def __call__(self, sample: Sample) -> Prepared:
        window, notes = self._window(sample) if self.settings.sampling == "arc_on" else (None, ())
        clip = decode_video(
            sample.files[self.stream][0],
            num_frames=self.settings.num_frames,
            num_clips=_num_clips(self.settings),
            window=window,
            limits=self.settings,
        )
        tensors = {"frames": self.preparation(clip), "arc_on": torch.from_numpy(clip.arc_on)}
        return Prepared(tensors, notes=clip.notes + notes)

    def _window(self, sample: Sample) -> tuple[Window, tuple[str, ...]]:
        """When the process goes on, by the film's own light: the sensors' clock is another, 1.2 s off in the median.
        Where the film does not tell, the sensors do, and a note says so."""
        (film,) = sample.files[self.stream]
        window = lit_window(film, limits=self.settings)
        if window is not None:
            return window, ()
        dark = f"{film}: the light does not tell when anything goes on"
        if "sensor" not in sample.files:
            raise DecodeError(f"{dark}, and there are no sensors.")
        try:
            window = arc_on_window(
                sample.files["sensor"][0], series=replace(WELDING_MACHINE, limits=self.settings.sensor_limits)
            )
        except DecodeError as error:
            raise DecodeError(f"{dark}, and neither do the sensors ({str(error).removesuffix('.')}).") from error
        return window, (f"{dark}: the window {window[0]:.1f} to {window[1]:.1f} s is that of the sensors' clock",)


class FilmEncoder:
    """Tokens (time, dim): mean over space of each tubelet, clip after clip; and their mean over time (dim,)."""

    def __init__(self, name: str, settings: FilmSettings, *, backbone: VideoBackbone, dtype: StorageType) -> None:
        self._backbone = backbone
        self._num_clips = _num_clips(settings)
        self.reader = FilmReader(settings, backbone.preparation)
        num_tokens = self._num_clips * backbone.num_tokens
        arrays = [
            ArraySpec("tokens", (num_tokens, backbone.dim), ("time", "dim"), dtype),
            ArraySpec("embedding", (backbone.dim,), ("dim",), dtype),
            arc_on_array(),
        ]
        sampling: dict[str, object] = {
            "num_frames": settings.num_frames,
            "sampling": settings.sampling,
            "num_clips": self._num_clips,
        }
        if settings.sampling == "arc_on":
            sampling["arc_on"] = "the film's light, else the sensors' current"
            if settings.sensor_limits != SENSOR_LIMITS:
                sampling["sensor_limits"] = list(settings.sensor_limits)
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
        arc_on = torch.stack([item.tensors["arc_on"] for item in prepared])
        return {name: {"tokens": tokens, "embedding": embedding, "arc_on": arc_on} for name in feature_sets}

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return self._num_clips * self._backbone.flops()


def _num_clips(settings: FilmSettings) -> int:
    return settings.num_clips if settings.sampling == "clips" else 1


def make(name: str, settings: FilmSettings, tools: Tools) -> FilmEncoder:
    backbone = tools.backbones.clips(
        settings, key=f"features.{name}", num_frames=settings.num_frames, size=settings.size
    )
    return FilmEncoder(name, settings, backbone=backbone, dtype=tools.dtype)
