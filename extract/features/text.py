"""A text: one vector, which belongs to the whole store."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from ...documents import Json
from .kind import Tools, made_by
from .settings import TextSettings

if TYPE_CHECKING:
    from ..backbones.clip_text import TextEncoder


@dataclass(frozen=True)
class TextVector:
    """The vector of `prompt`; the model is loaded when it is asked for."""

    name: str
    prompt: str
    encoder: "TextEncoder"

    @property
    def made_by(self) -> dict[str, Json]:
        return made_by(self.encoder.spec, decoding={"prompt": self.prompt})

    @property
    def arithmetic(self) -> str:
        return self.encoder.spec.arithmetic

    def vector(self) -> Float32[np.ndarray, " dim"]:
        return np.asarray(self.encoder(self.prompt).float().cpu().numpy(), dtype=np.float32)


def make(name: str, settings: TextSettings, tools: Tools) -> TextVector:
    encoder = tools.backbones.text(settings, key=f"features.{name}")
    return TextVector(name=f"{name}/prompt", prompt=settings.prompt, encoder=encoder)
