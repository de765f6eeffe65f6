"""The sections of a report on orientations, in the order in which they are read; verdict and caveats."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from ....metrics.clustered import FEWEST_GROUPS
from ....metrics.estimate import span, with_span
from ....metrics.von_mises import circle, log_density
from ....train.orientation import true_mixtures
from ....wording import count_of, listed
from ...exhibits import Circle, Gallery, SampleColumn, SampleTable, Shelf
from ...figures import Circles
from ...scores import ScoreTable
from ...section import Column, Fact, Rows, Section, Value
from ..alike import Verdict
from .figures import Mixtures, OfKind, OrientationAssessment, OrientationControl

_SHOWN = 3  # samples of each symmetry: the best, one amid, the worst
_WORST = 6  # samples on a shelf
_HOW = (
    "The divergence of a sample is KL(truth || prediction) in nats, over the whole circle in 360 equal steps: 0 where "
    "both are the same, and without a bound where the prediction leaves no room for what is true. A true mixture has a "
    "peak at each angle at which the sample looks the same, all of one weight, and is uniform where any turn leaves it "
    "as it is. A mode is a maximum of the predicted density that rises at least half as high as the highest; the angle "
    "error is the mean distance of true peaks from their nearest modes, whatever their order. Predictions come from "
    "the averaged (EMA) weights. Intervals are of the spread between groups, such as all turned copies of one object."
)


def verdict(found: OrientationAssessment) -> Verdict:
    """The model against the uniform distribution, then against its controls, then its peaks against each other."""
    told = (
        f"On average the true angles are {found.kl.value:.3f} nats away from what is predicted, and "
        f"{found.uniform.value:.3f} from an answer that knows nothing."
    )
    if found.kl.value >= found.uniform.value:
        return Verdict("bad", "The model does not beat the uniform distribution", told)
    beaten = [each for each in found.controls if each.ahead is not None and each.ahead.value <= 0]
    if beaten:
        return Verdict("bad", f"The model does not beat the {beaten[0].name}", told)
    if close := _close(found):
        return Verdict("doubtful", f"The model is not clearly better than the {close[0].name}", told)
    if found.is_collapsed:
        return Verdict("doubtful", "The model beats its controls, but gives one peak all the weight", told)
    return Verdict("good", "The model beats every control", told)


def _close(found: OrientationAssessment) -> list[OrientationControl]:
    """Controls that the model may be no better than."""
    return [each for each in found.controls if each.ahead is not None and each.ahead.contains(0)]


def caveats(found: OrientationAssessment) -> Iterator[str]:
    """Everything about the figures that calls for care, the gravest first."""
    if found.kl.value >= found.uniform.value:
        yield (
            f"A constant uniform answer has a divergence of {with_span(found.uniform)}, the model "
            f"{with_span(found.kl)}: whatever its loss says, it tells less of the angles than nothing."
        )
    if found.is_collapsed and found.largest_weight is not None:
        yield (
            f"Where several peaks are true, the heaviest predicted peak has {found.largest_weight:.0%} of the weight "
            "on average. A loss that weighs matched peaks by what is predicted allows that at no cost "
            "(recipe.loss = original); choose another."
        )
    behind = [each for each in found.controls if each.ahead is not None and each.ahead.high < 0]
    for controls, stands in ((behind, "worse than"), (_close(found), "not clearly better than")):
        if controls:
            told = listed(f"the {each.name} (ahead by {span(each.ahead, sign='+')})" for each in controls if each.ahead)
            yield f"The model is {stands} {told}."
    wrong = [each for each in found.by_symmetry if each.kl.value >= each.uniform.value and each.uniform.value > 0]
    if wrong and found.kl.value < found.uniform.value:
        told = listed(each.name for each in wrong)
        yield f"Of samples of symmetry {told} the uniform distribution says more than the model."
    for each in found.controls:
        if each.kl is None:
            yield f"There is no {each.name}, because {each.reason}."


def orientation_sections(
    found: OrientationAssessment,
    table: ScoreTable,
    targets: Mapping[str, np.ndarray],
    predicted: Mixtures,
    *,
    warnings: Sequence[str],
    training: Section,
) -> tuple[Section, ...]:
    """Every section of the report."""
    num_groups = len(set(table.groups))
    few = "" if num_groups >= FEWEST_GROUPS else f"; of {count_of(num_groups, 'group')} alone, which says little"
    headline = (
        Fact("kl", "Mixture KL", found.kl, note=f"nats; {count_of(len(table), 'sample')}{few}"),
        Fact("uniform_kl", "Uniform control", found.uniform, note="nats"),
        Fact("angle_error", "Angle error", found.angle_error, style=".1f", note="degrees to the nearest mode"),
        Fact("share_right", "Right number of peaks", found.share_right),
        Fact(
            "largest_weight",
            "Heaviest peak",
            found.largest_weight,
            note="mean weight where several are true; flat ones count nothing",
        ),
        Fact("num_samples", None, len(table)),
    )
    return (
        Section("headline", "The result", facts=headline, look="headline", brief=True),
        verdict(found).section(warnings),
        _beside_controls(found),
        _by_kind("by_symmetry", "By true symmetry", found.by_symmetry),
        _peaks(found),
        *([_by_kind("by_class", "By class", found.by_class)] if len(found.by_class) > 1 else []),
        _circles(found, table, targets, predicted),
        _gallery(found, table, targets, predicted),
        _samples(found, table),
        training,
        Section("how", "How these numbers are made", note=[_HOW], look="folded"),
    )


def _beside_controls(found: OrientationAssessment) -> Section:
    columns = (
        Column("control", "control", of_text=True),
        Column("says", "answers", of_text=True),
        Column("kl", "mixture KL"),
        Column("ahead", "control less model", style="+.3f"),
        Column("note", "", of_text=True),
    )
    values = [(each.name, each.says, each.kl, each.ahead, each.reason) for each in found.controls]
    return Section(
        "controls",
        "The model beside its controls",
        rows=[Rows("by_control", columns, values)],
        note=["A difference above 0 is in favour of the model; it is paired, sample by sample."],
        brief=True,
    )


def _by_kind(name: str, title: str, kinds: Sequence[OfKind]) -> Section:
    columns = (
        Column("name", "", of_text=True),
        Column("num", "n"),
        Column("kl", "mixture KL"),
        Column("uniform_kl", "uniform control"),
        Column("angle_error", "angle error", style=".1f"),
        Column("share_right", "right number of peaks"),
    )
    values = [(each.name, each.num, each.kl, each.uniform, each.angle_error, each.share_right) for each in kinds]
    return Section(name, title, rows=[Rows("kinds", columns, values)], brief=True)


def _peaks(found: OrientationAssessment) -> Section:
    """How many modes predictions have, by how many peaks are true."""
    numbers = sorted({number for counts in found.counts.values() for number in counts})
    columns = (Column("symmetry", "true", of_text=True), *(Column(f"modes_{each}", str(each)) for each in numbers))
    values: list[list[Value]] = [
        [str(each), *(counts.get(number, 0) for number in numbers)] for each, counts in found.counts.items()
    ]
    return Section(
        "peaks", "True peaks in rows, modes of predictions in columns", rows=[Rows("counts", columns, values)]
    )


def _circles(
    found: OrientationAssessment, table: ScoreTable, targets: Mapping[str, np.ndarray], predicted: Mixtures
) -> Section:
    """Of each symmetry the best, one amid and the worst sample: what is true, and what is predicted."""
    places: list[int] = []
    for order in _by_divergence(found):
        places += order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).round().astype(int))].tolist()
    return Section(
        "circles",
        "What is true and what is predicted",
        figures=[
            Circles(
                "Densities of angles of some samples, true and predicted, each on a circle",
                list(_drawn(places, found, table, targets, predicted).values()),
                caption="Of each symmetry the sample with the least divergence, one amid, and that with the most (nats "
                "behind the name); 0 degrees is to the right, and each circle has a scale of its own",
            )
        ],
    )


def _gallery(
    found: OrientationAssessment, table: ScoreTable, targets: Mapping[str, np.ndarray], predicted: Mixtures
) -> Section:
    """The samples that are predicted worst, and those of each symmetry that are predicted as well as most."""
    worst = np.argsort(-found.kl_of, kind="stable")[:_WORST].tolist()
    typical = [int(order[len(order) // 2]) for order in _by_divergence(found)]
    shelves = (
        Shelf("Furthest from the truth", worst, "Their divergences are the largest of all."),
        Shelf("Typical of each symmetry", typical, "Their divergences are the medians of all of their symmetry."),
    )
    drawn = _drawn([*worst, *typical], found, table, targets, predicted)
    media = {place: {"angles": [densities]} for place, densities in drawn.items()}
    return Section("gallery", "Samples worth seeing", exhibits=[Gallery(shelves, media)])


def _by_divergence(found: OrientationAssessment) -> Iterator[Int64[np.ndarray, " _"]]:
    """Of each symmetry the places of its samples, the least divergence first."""
    for symmetry in np.unique(found.symmetry):
        places = np.flatnonzero(found.symmetry == symmetry)
        yield places[np.argsort(found.kl_of[places], kind="stable")]


def _drawn(
    places: Sequence[int],
    found: OrientationAssessment,
    table: ScoreTable,
    targets: Mapping[str, np.ndarray],
    predicted: Mixtures,
) -> dict[int, Circle]:
    """Densities of samples by their places in the table, true and predicted."""
    angles, chosen = circle(), list(dict.fromkeys(places))
    true, said = (np.exp(log_density(mixtures[chosen], angles)) for mixtures in (true_mixtures(targets), predicted))
    return {
        place: Circle(
            f"{'/'.join(table.keys[place].split('/')[-2:])}: {found.kl_of[place]:.2f}",
            [("contrast", "true", true[row]), ("model", "predicted", said[row])],
        )
        for row, place in enumerate(chosen)
    }


def _samples(found: OrientationAssessment, table: ScoreTable) -> Section:
    columns = (
        SampleColumn("key", "sample"),
        SampleColumn("class_name", "class", choice=True),
        SampleColumn("symmetry", "symmetry", choice=True),
        SampleColumn("kl", "mixture KL", style=".3f"),
        SampleColumn("num_modes", "modes", style=".0f"),
        SampleColumn("angle_error", "angle error", style=".1f"),
        SampleColumn("group", "group", choice=True),
    )
    values = zip(
        table.keys,
        table.class_names,
        map(str, found.symmetry.tolist()),
        found.kl_of.tolist(),
        found.num_modes.tolist(),
        [None if np.isnan(error) else error for error in found.error_of.tolist()],
        table.groups,
        strict=True,
    )
    return Section("samples", "Every sample", exhibits=[SampleTable(columns, list(values))])
