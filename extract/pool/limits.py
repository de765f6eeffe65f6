"""What decoding may cost before it is given up, and the watch that is kept on whoever is at it."""

import time
from dataclasses import dataclass

from ...configs.schema import ExtractSettings
from ...progress import say
from ...wording import format_seconds, format_size

TICK = 0.1  # seconds between two looks at what is being decoded


@dataclass(frozen=True)
class Limits:
    """Of decoding one modality of one weld; nothing honest comes near them."""

    seconds: float = ExtractSettings().decode_seconds
    # Bytes that a decode process may take; the main process cannot be held to it.
    memory: int = round(ExtractSettings().decode_gigabytes * 1e9)
    named_after: float = 30.0  # seconds, and the weld is named once, so that nobody waits without knowing for what

    @classmethod
    def of(cls, settings: ExtractSettings) -> "Limits":
        """As the settings say."""
        return cls(seconds=settings.decode_seconds, memory=round(settings.decode_gigabytes * 1e9))


class TooMuchError(Exception):
    """Decoding a modality went beyond a limit; the message is the reason why the weld lacks it."""

    def __init__(self, reason: str, *, modality: str) -> None:
        super().__init__(reason)
        self.modality = modality


class Watch:
    """On a decoder that is at one weld: which modality, for how long, with how much memory."""

    def __init__(self, key: str, limits: Limits) -> None:
        self._key = key
        self._limits = limits
        self.begin("files")  # a decoder that has not said what it is at yet

    def begin(self, modality: str) -> None:
        """The decoder is at this modality from now on."""
        self.modality = modality
        self._since = time.monotonic()
        self._named = False

    def look(self, *, memory: int = 0) -> None:
        """Name the weld once it takes long; `memory` is what the decoder has taken, in bytes.

        Raises:
            TooMuchError: if a limit is exceeded.
        """
        limits, seconds = self._limits, time.monotonic() - self._since
        if seconds > limits.seconds:
            raise TooMuchError(
                f"Decoding its {self.modality} was given up after {format_seconds(limits.seconds)} "
                "(extract.decode_seconds).",
                modality=self.modality,
            )
        if memory > limits.memory:
            raise TooMuchError(
                f"Decoding its {self.modality} was given up: it took {format_size(memory)} of memory and "
                f"extract.decode_gigabytes allows {limits.memory / 1e9:g}.",
                modality=self.modality,
            )
        if seconds > limits.named_after and not self._named:
            self._named = True
            say(
                f"{self._key}: its {self.modality} has been decoded for {format_seconds(seconds)}; "
                f"after {format_seconds(limits.seconds)} it is given up."
            )
