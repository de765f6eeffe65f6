"""The best trial of a sweep, retrained with seeds that no trial had, and judged on the split test, which no trial saw.

Whoever picks the best of many picks luck as well: what the best trial reached on validation flatters it. By how much is
its optimism, validation minus test, and it stands beside the settings that the sweep began with, retrained alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import WeldcacheError
from ...metrics.estimate import Estimate, with_span
from ...settings import Settings
from ...wording import count_of, in_words
from ..judge import judge_named
from ..trials.bench import bench
from ..trials.plan import one_line
from ..trials.variant_list import Variant, VariantList
from .request import SweepRequest
from .space import Choice
from .study import Tried

_SEED = "train.seed"
_START = "start"


@dataclass(frozen=True)
class Winner:
    """How the best trial fares on what the sweep never saw; figures are None where they could not be had.

    Attributes:
        seeds: that it was retrained with.
        figure: the judge's first figure, in words.
        selected: what the best trial reached on validation, where that is the judge's figure.
        validation: mean over the retrainings, on validation.
        test: mean over the retrainings, with its interval.
        gain: of that over the settings that the sweep began with, with its interval.
        gained: whether it is better than these beyond chance, whichever direction is better.
        optimism: selected, or else validation, less test; of an error the other way round, so that above 0 always
            means that validation flatters.
        luck: the part of it that is gone once the best trial is trained with other seeds.
        looks: how many trials of this sweep the split test has judged by now.
        refused: why it could not be judged.
    """

    run: str
    seeds: tuple[int, ...]
    figure: str
    selected: float | None
    validation: float | None
    test: Estimate | None
    gain: Estimate | None
    gained: bool
    optimism: float | None
    luck: float | None
    looks: int
    refused: str


def fresh_seeds(request: SweepRequest, settings: Settings) -> tuple[int, ...]:
    """Seeds that no trial has."""
    drawn = request.space.get(_SEED)
    used = [settings.train.seed]
    if drawn is not None:
        used += drawn.values if isinstance(drawn, Choice) else [int(drawn.high)]
    return tuple(range(max(used) + 1, max(used) + 1 + request.seeds))


def judge_winner(request: SweepRequest, settings: Settings, best: Tried, *, objective: str, command: str) -> Winner:
    """Retrain the best trial and the settings that the sweep began with, and hold them against each other on test.

    `settings` are those that the sweep began with; runs go to a folder beside that of the sweep.

    Raises:
        KeyboardInterrupt: on Ctrl-C; what is done is kept.
    """
    values = {key: value for key, value in best.values.items() if key != _SEED}
    variants = VariantList(
        name=f"{request.name}-winner",
        question=f"Does the best trial of {request.name} hold on what the sweep never saw?",
        origin=request.origin,
        folder=request.folder,
        seeds=fresh_seeds(request, settings),
        settings={},
        variants={_START: Variant(), best.run: Variant(set=values)},
    )
    judge = judge_named(settings.evaluate.judge, task=settings.train.task, of="the sweep").headline[0]
    try:
        found = bench(
            variants,
            overrides=(),
            base=settings,
            seeds=None,
            split="test",
            overwrite=False,
            keep_weights=True,
            command=command,
        )
    except WeldcacheError as error:
        return _refused(best, variants.seeds, figure=judge.label, reason=one_line(error))
    told = next(each for each in found.document["leaderboards"][0]["variants"] if each["name"] == best.run)
    test, validation = _estimate(told[judge.name]), told[f"val_{judge.name}"]
    if test is None:
        return _refused(best, variants.seeds, figure=judge.label, reason="; ".join(told["failures"]))
    selected = best.value if objective == f"val_{judge.name}" else None
    sign = -1 if judge.lower_is_better else 1
    flattered = validation if selected is None else selected
    gain = _estimate(told["difference"])
    return Winner(
        run=best.run,
        seeds=variants.seeds,
        figure=judge.label,
        selected=selected,
        validation=validation,
        test=test,
        gain=gain,
        gained=gain is not None and min(sign * gain.low, sign * gain.high) > 0,
        optimism=None if flattered is None else sign * (flattered - test.value),
        luck=None if selected is None or validation is None else sign * (selected - validation),
        looks=_looks(found.folder),
        refused="",
    )


def _looks(folder: Path) -> int:
    return len({path.parent.name.rpartition("-seed")[0] for path in folder.glob("trial-*/trial_test.json")})


def _estimate(told: Mapping[str, Any] | None) -> Estimate | None:
    return None if told is None else Estimate(told["value"], told["low"], told["high"])


def _refused(best: Tried, seeds: Sequence[int], *, figure: str, reason: str) -> Winner:
    return Winner(best.run, tuple(seeds), figure, None, None, None, None, False, None, None, 0, reason)


def told_of(winner: Winner, *, objective: str) -> list[str]:
    """Sentences on how the best trial fares."""
    if winner.test is None:
        return [f"{winner.run} could not be judged on test: {winner.refused}"]
    seeds = f"retrained with {count_of(len(winner.seeds), 'seed')} that no trial had"
    validation = "" if winner.validation is None else f" {winner.figure} {winner.validation:.3f} on validation and"
    sentences = [f"{winner.run}, {seeds}:{validation} {winner.figure} {with_span(winner.test)} on test."]
    if winner.optimism is not None:
        own = winner.selected is not None
        whose, flattered = ("its own", winner.selected) if own else ("the retrainings'", winner.validation)
        luck = (
            f", of which {winner.luck:+.3f} went with the seed that it was chosen by" if winner.luck is not None else ""
        )
        sentences.append(
            f"Optimism: {whose} {in_words(objective)} of {flattered:.3f} less that on test is "
            f"{winner.optimism:+.3f}{luck}."
        )
    if winner.gain is not None:
        unclear = "; that does not show a difference" if winner.gain.low <= 0 <= winner.gain.high else ""
        sentences.append(
            f"Against the settings that the sweep began with, on test: {with_span(winner.gain, sign='+')}{unclear}."
        )
    if winner.looks > 1:
        sentences.append(
            f"The split test has judged {winner.looks} best trials of this sweep by now; whoever chooses among them by "
            "these figures makes a second validation of it."
        )
    return sentences
