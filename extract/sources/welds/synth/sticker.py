"""The printed label that the real photographs show: a run name whose last digits are the class, in pixels."""

import cv2
import numpy as np
from jaxtyping import UInt8


def draw_sticker(pixels: UInt8[np.ndarray, "height width 3"], *, text: str) -> None:
    """Paste a white label with `text` into the lower left corner of a photograph, in place."""
    scale = pixels.shape[0] / 480
    thickness = max(1, round(1.6 * scale))
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = max(2, height // 2)
    bottom = pixels.shape[0] - margin
    top = bottom - height - baseline - margin
    cv2.rectangle(pixels, (margin, top), (width + 3 * margin, bottom), (232, 238, 240), cv2.FILLED)
    origin = (2 * margin, bottom - baseline)
    cv2.putText(pixels, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (40, 30, 30), thickness, cv2.LINE_AA)
