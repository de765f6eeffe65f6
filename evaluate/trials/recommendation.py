"""What a recommendation says: a ranking of detectors, how sure it is, and settings to begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from ...atomic import write_text
from ...configs.plain_yaml import dump_yaml
from ...errors import OutputExistsError
from ...metrics.estimate import span
from ...metrics.p_value import p_told
from ...metrics.repeats import RepeatsEstimate
from ...settings import Settings
from ...tables import literal, make_table
from ...wording import count_of, shortened, visible
from .measure import Difference

SCHEMA_VERSION = 1
"""Version of the JSON."""

_NAMED = 5
_LIKELY = 0.75  # of the draws; a judgement


@dataclass(frozen=True)
class RankedCandidate:
    """A candidate's place.

    Attributes:
        settings: all of them, with its recipe.
        figure: AUROC against pseudo-defects, the mean over draws, or against validation's defects.
        behind: how far from the first; None of the first itself.
        first_in: share of the draws in which it is first.
        seconds: of fitting it and scoring all draws.
    """

    name: str
    settings: Settings
    figure: RepeatsEstimate
    behind: Difference | None
    first_in: float
    seconds: float


@dataclass(frozen=True)
class Recommendation:
    """What to begin with.

    Attributes:
        ranking: the best first.
        against: what the candidates were to tell from validation's normals, in words.
        of_defects: whether that were defects, and not what stands for them.
        num_normals, num_groups: of validation.
        failures: candidates that could not be fitted, with the reason.
    """

    ranking: tuple[RankedCandidate, ...]
    against: str
    of_defects: bool
    num_normals: int
    num_groups: int
    failures: Mapping[str, str]

    @property
    def chosen(self) -> RankedCandidate:
        """The candidate that is ranked first."""
        return self.ranking[0]

    @property
    def ties(self) -> tuple[str, ...]:
        """Candidates of which it is not known whether the first is ahead."""
        return tuple(each.name for each in self.ranking if each.behind is not None and each.behind.is_tie)

    def sentences(self) -> list[str]:
        """How sure it is, and what it rests on."""
        first, ties = self.chosen, self.ties
        if not ties:
            sure, told = "sure", f"{first.name} is ahead of all others beyond chance"
        elif first.first_in >= _LIKELY:
            sure, told = "likely", f"{first.name} is ahead, but of some others not beyond chance"
        else:
            sure, told = "open", f"{first.name} is as good a beginning as some others"
        tied = f" and ties with {count_of(len(ties), 'other')} ({shortened(ties, most=_NAMED)})" if ties else ""
        sides = f"{count_of(self.num_normals, 'normal sample')} of validation from {count_of(self.num_groups, 'group')}"
        said = [
            f"How sure: {sure}. {told}: it is first in {first.first_in:.0%} of the draws{tied}.",
            f"It rests on {sides} and {self.against}; nothing of test was looked at.",
        ]
        if not self.of_defects:
            said.append(
                "So it is sure, or not, of who is ahead against these, and not of what will go wrong: on data whose "
                "defects no candidate saw, the pick was no better than guessing. Judge it on samples with labels."
            )
        return said

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "chosen": self.chosen.name,
            "recipe": self.chosen.settings.recipe.model_dump(mode="json"),
            "against": self.against,
            "num_normals": self.num_normals,
            "num_groups": self.num_groups,
            "ties": list(self.ties),
            "ranking": [
                {
                    "name": each.name,
                    "auroc": dict(vars(each.figure)),
                    "behind": None if each.behind is None else each.behind.as_json(),
                    "first_in": each.first_in,
                    "seconds": each.seconds,
                }
                for each in self.ranking
            ],
            "failures": dict(self.failures),
            "sentences": self.sentences(),
        }


def require_free(path: Path, *, overwrite: bool) -> None:
    """Raises OutputExistsError if it is there, and is not to be overwritten."""
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} is there; name another with --to, or replace it with --overwrite.")


def write_settings(found: Recommendation, path: Path, *, overwrite: bool) -> None:
    """Write what `weldcache train --config` takes.

    Raises:
        OutputExistsError: if it is there, and is not to be overwritten.
    """
    require_free(path, overwrite=overwrite)
    chosen = found.chosen.settings
    told = {
        "recipe": chosen.recipe.model_dump(mode="json"),
        "train": {"task": chosen.train.task, "split": chosen.train.split},
    }
    comments = "".join(f"# {visible(sentence)}\n" for sentence in found.sentences())
    write_text(path, f"# By `weldcache recommend`.\n{comments}{dump_yaml(told)}")


def recommendation_table(found: Recommendation) -> RenderableType:
    """The ranking for a terminal, and how sure it is."""
    table = make_table(
        f"AUROC of {count_of(found.num_normals, 'normal sample')} of validation against {found.against}",
        left=["candidate"],
        right=["AUROC", "95% interval", "less the first", "p (Holm)", "first in", "s"],
    )
    for each in found.ranking:
        behind = ["", ""] if each.behind is None else [f"{each.behind.value.value:+.3f}", p_told(each.behind.p_holm)]
        cells = [f"{each.figure.value:.3f}", span(each.figure), *behind, f"{each.first_in:.0%}", f"{each.seconds:.1f}"]
        table.add_row(*map(literal, [each.name, *cells]))
    return Group(table, *map(literal, found.sentences()))
