"""How a weld is recorded: times, frame rate, exposure and the session's look; drawn without regard to the class."""

from dataclasses import dataclass

import numpy as np

from .plan import MediaSize, Purpose, stream

# Medians of onset differences between modalities: 1.2 s in recordings of about 32 s; kept in proportion.
_ONSET_SPREAD = 1.2 / 32
_VIEWS = 5


@dataclass(frozen=True)
class SessionLook:
    """What the welds of one session share: lamp, cameras, microphone and the plates' finish."""

    lamp_azimuth: float
    lamp_height: float
    white_balance: tuple[float, float, float]
    photograph_mean: float
    video_mean: float
    video_noise: float
    camera_tilt: float
    brush_strength: float
    plate_tone: float
    microphone_gain: float
    hum_hz: float
    room_noise: float


@dataclass(frozen=True)
class Clock:
    """When one modality's recording meets the arc, in seconds: silence of `lead`, the arc, silence of `tail`."""

    lead: float
    arc: float
    tail: float

    @property
    def total(self) -> float:
        """Length of the recording in seconds."""
        return self.lead + self.arc + self.tail

    def progress(self, times: np.ndarray) -> np.ndarray:
        """Place along the seam at `times`: below 0 before the arc, 0 to 1 during it, above 1 after it."""
        return np.asarray((times - self.lead) / self.arc)


@dataclass(frozen=True)
class Recording:
    """Lengths and exposures of one weld's files. Means are grey values from 0 to 255, over the lit frames for video."""

    fps: int
    video: Clock
    audio: Clock
    sensors: Clock
    video_mean: float
    photograph_means: tuple[float, ...]


def session_look(session: int, *, seed: int) -> SessionLook:
    """The look of session number `session`."""
    generator = stream(seed, purpose=Purpose.SESSION, index=session)
    red, blue = generator.normal(1.0, 0.015, size=2)
    return SessionLook(
        lamp_azimuth=float(generator.normal(0.0, 0.12)),
        lamp_height=float(generator.uniform(0.85, 1.0)),
        white_balance=(float(blue), 1.0, float(red)),
        photograph_mean=float(generator.uniform(104, 118)),
        video_mean=float(generator.uniform(34, 46)),
        video_noise=float(generator.uniform(1.5, 3.5)),
        camera_tilt=float(generator.normal(0.0, 0.5)),
        brush_strength=float(generator.uniform(0.6, 0.9)),
        plate_tone=float(generator.uniform(0.94, 1.06)),
        microphone_gain=float(np.exp(generator.normal(0.0, 0.12))),
        hum_hz=float(generator.choice((49.9, 50.0, 50.1))),
        room_noise=float(generator.uniform(0.7, 1.4)),
    )


def recording_of(index: int, *, seed: int, look: SessionLook, media: MediaSize) -> Recording:
    """The lengths and exposures of weld number `index`, which depend on the session's look and on nothing else."""
    generator = stream(seed, purpose=Purpose.RECORDING, index=index)
    total = float(generator.uniform(media.min_seconds, media.max_seconds))
    arc = total * float(generator.uniform(0.66, 0.78))
    lead = (total - arc) * float(generator.uniform(0.35, 0.6))
    clocks = []
    for _ in ("video", "audio", "sensors"):
        shift = float(np.clip(generator.normal(0.0, _ONSET_SPREAD), -0.09, 0.09)) * total
        spare = float(generator.uniform(0.0, 0.03)) * total
        first = max(lead + shift, 0.03 * total)
        clocks.append(Clock(lead=first, arc=arc, tail=max(total - arc - first + spare, 0.04 * total)))
    video_mean = look.video_mean * float(np.exp(generator.normal(0.0, 0.06)))
    means = look.photograph_mean * np.exp(generator.normal(0.0, 0.04) + generator.normal(0.0, 0.02, size=_VIEWS))
    return Recording(
        fps=int(generator.choice((30, 31))),
        video=clocks[0],
        audio=clocks[1],
        sensors=clocks[2],
        video_mean=video_mean,
        photograph_means=tuple(float(mean) for mean in means),
    )
