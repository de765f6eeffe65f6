"""The five photographs of a finished seam, each with the outline of its flaws."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from .plan import MediaSize
from .recording import Recording, SessionLook
from .relief import Relief
from .seam import Strip, draw_seam
from .state import WeldState
from .texture import Plane, gain_for_mean, to_bytes

NUM_VIEWS = 5
# How far the strip is wider and higher than one photograph, and where each view's middle stands along it.
_STRIP_LENGTH = 3.0
_STRIP_HEIGHT = 1.2
_VIEW_PLACES = (0.16, 0.34, 0.5, 0.66, 0.84)
# Lamp direction (azimuth in radians, 0 along the seam) and height of each view, magnification and tilt in degrees.
_VIEW_LAMPS = ((-1.9, 0.9), (-1.2, 0.7), (1.3, 0.8), (1.9, 0.6), (-1.5, 0.9))
_VIEW_ZOOMS = (1.0, 1.12, 0.98, 1.18, 1.04)
_VIEW_TILTS = (-1.2, 1.0, 0.0, -1.0, 1.4)
_HIGHLIGHT_POWER = 26.0


@dataclass(frozen=True)
class Photograph:
    """One view: blue-green-red grey values, and which pixels show a flaw."""

    pixels: UInt8[np.ndarray, "height width 3"]
    flawed: Bool[np.ndarray, "height width"]


def weld_photographs(
    state: WeldState,
    *,
    recording: Recording,
    look: SessionLook,
    media: MediaSize,
    seam_generators: tuple[np.random.Generator, np.random.Generator],
    generator: np.random.Generator,
) -> list[Photograph]:
    """Five views of the seam in `state.result`, each over another stretch and under another light.

    `seam_generators` draw the sound seam and its flaws. Each view is exposed to its mean in `recording`.
    """
    strip = photograph_strip(media)
    sound, flawed = seam_generators
    relief = draw_seam(state.result, strip=strip, sites=state.sites, look=look, generator=sound, flaw_generator=flawed)
    return [
        _view(relief, view=view, recording=recording, look=look, media=media, generator=generator)
        for view in range(NUM_VIEWS)
    ]


def photograph_strip(media: MediaSize) -> Strip:
    """The strip of plate that the five photographs look at."""
    width = int(_STRIP_LENGTH * media.photograph_width)
    margin = int(0.15 * media.photograph_width)
    height = int(_STRIP_HEIGHT * media.photograph_height)
    return Strip(height=height, width=width, start=margin, end=width - margin, unit=float(media.photograph_height))


def shade(relief: Relief, *, columns: slice, azimuth: float, elevation: float) -> Float32[np.ndarray, "3 height width"]:
    """Light on a stretch of `relief` from a lamp at `azimuth` (radians) and `elevation` (tangent), unexposed.

    Source: Blinn's half-vector reflection (1977) with the viewer straight above.
    """
    height = relief.height[:, columns]
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    lamp = np.array((np.cos(azimuth), np.sin(azimuth), elevation), np.float32)
    lamp /= np.linalg.norm(lamp)
    half = lamp + np.array((0, 0, 1), np.float32)
    half /= np.linalg.norm(half)
    inverse = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    diffuse = np.clip((lamp[2] - slope_x * lamp[0] - slope_y * lamp[1]) * inverse, 0, None)
    mirror = np.clip((half[2] - slope_x * half[0] - slope_y * half[1]) * inverse, 0, 1)
    highlight = cv2.pow(mirror, _HIGHLIGHT_POWER) * relief.gloss[:, columns]
    light = np.float32(0.32) + np.float32(0.85) * diffuse
    return np.asarray(relief.colour[:, :, columns] * light + np.float32(0.55) * highlight, np.float32)


def _view(
    relief: Relief,
    *,
    view: int,
    recording: Recording,
    look: SessionLook,
    media: MediaSize,
    generator: np.random.Generator,
) -> Photograph:
    width, height = media.photograph_width, media.photograph_height
    zoom = _VIEW_ZOOMS[view] * float(np.exp(generator.normal(0, 0.01)))
    tilt = _VIEW_TILTS[view] + look.camera_tilt + float(generator.normal(0, 0.3))
    middle = _VIEW_PLACES[view] * relief.height.shape[1] + float(generator.normal(0, 0.02)) * width
    azimuth, elevation = _VIEW_LAMPS[view]
    azimuth += look.lamp_azimuth + float(generator.normal(0, 0.05))

    reach = int(0.62 * width)
    first, last = max(int(middle) - reach, 0), min(int(middle) + reach, relief.height.shape[1])
    columns = slice(first, last)
    lit = shade(relief, columns=columns, azimuth=azimuth, elevation=elevation * look.lamp_height)
    matrix = cv2.getRotationMatrix2D((middle - first, relief.height.shape[0] / 2), tilt, zoom)
    matrix[:, 2] += (width / 2 - (middle - first), height / 2 - relief.height.shape[0] / 2)
    lens = _vignette(height, width)
    picture = [
        cv2.warpAffine(plane, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        * (np.float32(balance) * lens)
        for plane, balance in zip(lit, look.white_balance, strict=True)
    ]
    exposed = _exposed(np.stack(picture), mean=recording.photograph_means[view], generator=generator)
    outline = cv2.warpAffine(
        relief.flawed[:, columns].astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST
    )
    return Photograph(pixels=exposed, flawed=outline > 0)


def _vignette(height: int, width: int) -> Plane:
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.asarray(1 - np.float32(0.16) * (rows**2 + columns**2), np.float32)


def _exposed(
    picture: Float32[np.ndarray, "3 height width"], *, mean: float, generator: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """`picture` at the exposure that gives `mean`, with the sensor's grain."""
    gain = gain_for_mean(picture[:, ::3, ::3], mean=mean)
    grain = generator.standard_normal(picture.shape[1:], dtype=np.float32) * np.float32(1.6)
    return np.asarray(cv2.merge([to_bytes(plane * np.float32(gain) + grain) for plane in picture]), np.uint8)


def draw_sticker(pixels: UInt8[np.ndarray, "height width 3"], *, text: str) -> None:
    """Paste a white label with `text` into the lower left corner of a photograph, in place.

    The real photographs show one: a run name whose last digits are the class, in pixels.
    """
    scale = pixels.shape[0] / 480
    thickness = max(1, round(1.6 * scale))
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = max(2, height // 2)
    bottom = pixels.shape[0] - margin
    top = bottom - height - baseline - margin
    cv2.rectangle(pixels, (margin, top), (width + 3 * margin, bottom), (232, 238, 240), cv2.FILLED)
    origin = (2 * margin, bottom - baseline)
    cv2.putText(pixels, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (40, 30, 30), thickness, cv2.LINE_AA)
