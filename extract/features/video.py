"""Video: frames of the whole recording, of its arc-on window or of consecutive clips, to tubelet tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from einops import rearrange

from ...cache.arrays import ArraySpec, FeatureSetSpec
from ...configs.schema import CacheSettings, VideoSettings
from ...errors import DecodeError
from ..backbones.spec import Preparation, VideoBackbone
from ..decode.decoded import VideoClip
from ..decode.film import FilmLimits
from ..decode.sensor import arc_on_window
from ..decode.video import Window, decode_video, lit_window
from ..sources.source import Sample
from ..sources.welds.sensors import WELDING_MACHINE
from .arc_on import arc_on_array
from .made_by import OPENCV, made_by
from .modality import Features, Prepared


@dataclass(frozen=True)
class VideoReader:
    """Sampled frames as the backbone takes them: {"frames": (clips * time, 3, size, size), "arc_on": (2,)}."""

    settings: VideoSettings
    preparation: Preparation[VideoClip]
    sensor_limits: tuple[float, ...] = WELDING_MACHINE.limits

    def files(self, sample: Sample) -> tuple[Path, ...]:
        """The film, and the sensors' file where it may have to say when the arc burns."""
        sensors = sample.files.get("sensor", ()) if self.settings.sampling == "arc_on" else ()
        return sample.files["video"] + sensors

    def __call__(self, sample: Sample) -> Prepared:
        window, notes = self._window(sample) if self.settings.sampling == "arc_on" else (None, ())
        clip = decode_video(
            sample.files["video"][0],
            num_frames=self.settings.num_frames,
            num_clips=_num_clips(self.settings),
            window=window,
            limits=film_limits(self.settings),
        )
        tensors = {"frames": self.preparation(clip), "arc_on": torch.from_numpy(clip.arc_on)}
        return Prepared(tensors, notes=clip.problems + notes)

    def _window(self, sample: Sample) -> tuple[Window, tuple[str, ...]]:
        """When the arc burns, by the film's own light: the sensors' clock is another, 1.2 s off in the median. Where
        the film does not tell, the sensors do, and a note says so."""
        (film,) = sample.files["video"]
        window = lit_window(film, limits=film_limits(self.settings))
        if window is not None:
            return window, ()
        dark = f"{film}: the light does not tell when the arc is on"
        if "sensor" not in sample.files:
            raise DecodeError(f"{dark}, and there are no sensors.")
        try:
            window = arc_on_window(
                sample.files["sensor"][0], series=replace(WELDING_MACHINE, limits=self.sensor_limits)
            )
        except DecodeError as error:
            raise DecodeError(f"{dark}, and neither do the sensors ({str(error).removesuffix('.')}).") from error
        return window, (f"{dark}: the window {window[0]:.1f} to {window[1]:.1f} s is that of the sensors' clock",)


def film_limits(settings: VideoSettings) -> FilmLimits:
    """What a film may cost, by the settings."""
    return FilmLimits(max_megapixels=settings.max_megapixels, max_gigapixels=settings.max_gigapixels)


class VideoEncoder:
    """Tokens (time, dim): mean over space of each tubelet, clip after clip; and their mean over time (dim,)."""

    def __init__(
        self,
        backbone: VideoBackbone,
        *,
        settings: VideoSettings,
        cache: CacheSettings,
        sensor_limits: tuple[float, ...] = WELDING_MACHINE.limits,
    ) -> None:
        self._backbone = backbone
        self._num_clips = _num_clips(settings)
        self.reader = VideoReader(settings, backbone.preparation, sensor_limits)
        num_tokens = self._num_clips * backbone.num_tokens
        arrays = [
            ArraySpec("tokens", (num_tokens, backbone.dim), ("time", "dim"), cache.dtype),
            ArraySpec("embedding", (backbone.dim,), ("dim",), cache.dtype),
            arc_on_array(),
        ]
        sampling: dict[str, object] = {
            "num_frames": settings.num_frames,
            "sampling": settings.sampling,
            "num_clips": self._num_clips,
        }
        if settings.sampling == "arc_on":
            sampling["arc_on"] = "the film's light, else the sensors' current"
            if sensor_limits != WELDING_MACHINE.limits:
                sampling["sensor_limits"] = list(sensor_limits)
        self.specs = [
            FeatureSetSpec(settings.store_as, arrays, made_by(backbone.spec, decoding=sampling, decoders=[OPENCV]))
        ]

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


def _num_clips(settings: VideoSettings) -> int:
    return settings.num_clips if settings.sampling == "clips" else 1
