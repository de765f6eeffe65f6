"""What stands above the table of a bench: what was compared, where, and by which command."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchHeader:
    """What was compared, where, and by which command.

    Attributes:
        fingerprint: of all that the store holds.
        backbones_are_random: whether any of its features come from random weights, as in a demo.
    """

    list_name: str
    question: str
    split: str
    created: str
    command: str
    fingerprint: str
    backbones_are_random: bool
    versions: Mapping[str, str]

    @property
    def title(self) -> str:
        """The list, the split and the list's question."""
        return f"{self.list_name} on {self.split}" + (f": {self.question}" if self.question else "")
