"""Where a report's numbers come from: enough to make them again."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Provenance:
    """What was evaluated, made by what.

    Attributes:
        run_name: folder name of the run.
        split: the split that was scored.
        created: time of the evaluation, ISO 8601 with its offset from UTC.
        command: the command line that made the report.
        seed: that the run was trained with.
        fingerprint: of the features that the run was trained on, of all that the store holds.
        settings: resolved settings as JSON values: sections of named values.
        versions: library versions by name.
        backbones_are_random: whether the features come from random weights, as in a demo: the numbers then say
            nothing about the method.
    """

    run_name: str
    split: str
    created: str
    command: str
    seed: int
    fingerprint: str
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    backbones_are_random: bool
