"""What the course of a training gives away: a loss that stands still, accuracy that anybody has, no validation."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from ...wording import count_of, listed
from .check import NEAR_MAJORITY, AuditCheck, Tell
from .epochs import FIGURES, Epochs

_FEWEST = 3  # epochs, before one speaks of a course
_STILL = 1e-6  # of its size that a loss may move by rounding alone
_HARDLY = 1e-3  # of its size
_NEAR_ENTROPY = 0.03  # of it
_NEAR_CHANCE = 0.02  # in AUROC
_WIDE = 0.1  # standard deviation of an AUROC by chance
_COURSE = 6  # epochs, before two figures are said to go against each other
_FALLEN = 0.5  # of its first value that a loss is at most, which improved
_OPPOSED = -0.5  # rank correlation
_SUSPICIOUS = 0.5  # of the error that an anchor makes: less is too good to be taken as it is
_SHARES = [figure for figure in FIGURES if figure not in ("loss", "positives")]

_SEE_GRADIENT = (
    "See that the loss depends on parameters and labels (no detach, no argmax), that the optimiser has all of them, "
    "and that no output is saturated."
)
_SEE_NUMBERS = "Lower the learning rate, clip gradients, and look at the inputs for what is not a number."
_SEE_LABELS = (
    "Look at AUROC, recall and the spread of the outputs instead of accuracy; see that labels are read and not drawn "
    "by chance, and that the rare kind has weight."
)
_SEE_VALIDATION = "See which samples validation reads: compare keys and files of both."
_VALIDATE_ON_MORE = "Validate on more samples, where there are more; the report says what test comes to."
_HOLD_OUT = "Choose the epoch on a validation part taken from train, and look at test once."
_SEE_OBJECTIVE = (
    "Look for a way to a small loss without a good answer, such as a term that is weighted by what is predicted; "
    "minimise what is measured, or a bound of it, and choose the epoch by the figure."
)
_SEE_LEAK = (
    "Look for the answer among the inputs (`weldcache audit` on the data), for test samples in training, and whether "
    "the anchor was measured on samples like these."
)


def _loss(epochs: Epochs, tell: Tell) -> str:
    """A loss that is zero, or the same whatever was learned."""
    for name, values in epochs.of("loss"):
        size, spread, several = float(np.abs(values).max()), float(np.ptp(values)), len(values) >= _FEWEST
        if not size:
            tell("error", f"{name} is exactly 0 in {count_of(len(values), 'epoch')}", _SEE_GRADIENT, part=name)
        elif values[-1] == 0:
            tell("error", f"{name} ends at exactly 0, as no loss on labels does", _SEE_GRADIENT, part=name)
        elif several and spread <= _STILL * size:
            evidence = f"{name} is {values[0]:.6g} in all {count_of(len(values), 'epoch')}"
            tell("error", evidence, _SEE_GRADIENT, part=name)
        elif several and spread <= _HARDLY * size:
            evidence = f"{name} stays between {values.min():.6g} and {values.max():.6g} in all epochs"
            tell("warning", evidence, _SEE_GRADIENT, part=name)
        elif several and name == "loss" and values[1:].min() >= values[0]:
            tell("warning", f"{name} never falls below the first epoch's {values[0]:.4g}", _SEE_GRADIENT, part=name)
    return _looked_at(epochs, ["loss"])


def _finite(epochs: Epochs, tell: Tell) -> str:
    for name, values in epochs.columns.items():
        broken = int(np.isinf(values).sum())
        if broken:
            evidence = f"{name} is not a number in {broken:,} of {count_of(len(values), 'epoch')}"
            tell("error", evidence, _SEE_NUMBERS, part=name)
    return f"{count_of(len(epochs.columns), 'figure')} of {count_of(epochs.num, 'epoch')}"


def _base_rate(epochs: Epochs, tell: Tell) -> str:
    """Figures that are had by who knows the shares of the kinds and looks at no sample."""
    if not epochs.shares:
        _without_shares(epochs, tell)
        return "losses and accuracies against each other, as nobody said the shares of the kinds (--base-rate)"
    entropy, majority = _entropy(epochs.shares), max(epochs.shares)
    for name, values in epochs.of("loss"):
        best = float(values.min())
        known = f"the entropy of the shares {listed(f'{share:.3g}' for share in epochs.shares)}, {entropy:.4f}"
        if abs(best - entropy) <= _NEAR_ENTROPY * entropy:
            tell("error", f"{name} gets no lower than {best:.4f}, which is {known}", _SEE_LABELS, part=name)
        elif best > entropy:
            evidence = f"{name} gets no lower than {best:.4f} and, if it is a cross-entropy, is above {known}"
            tell("warning", evidence, _SEE_LABELS, part=name)
    for name, values in epochs.of("accuracy"):
        if abs(values[-1] - majority) <= NEAR_MAJORITY:
            evidence = f"{name} ends at {values[-1]:.4f}, and always giving the most frequent answer has {majority:.4f}"
            tell("error", evidence, _SEE_LABELS, part=name)
    if len(epochs.shares) == 2:
        for name, values in epochs.of("auprc"):
            if abs(values[-1] - epochs.shares[0]) <= _NEAR_CHANCE * epochs.shares[0]:
                evidence = f"{name} ends at {values[-1]:.4f}, which is the share of positives: no better than chance"
                tell("error", evidence, _SEE_LABELS, part=name)
    return f"losses and accuracies against an entropy of {entropy:.4f} and a majority of {majority:.4f}"


def _without_shares(epochs: Epochs, tell: Tell) -> None:
    """An accuracy that never moves is the share of the most frequent kind, if the loss is the entropy of that share."""
    for (name, losses), (other, accuracies) in zip(epochs.of("loss"), epochs.of("accuracy"), strict=False):
        share = float(np.median(accuracies))
        still = len(accuracies) >= _FEWEST and np.ptp(accuracies) <= 2 * NEAR_MAJORITY and 0.5 <= share < 1
        if still and abs(losses.min() - _entropy((share, 1 - share))) <= _NEAR_ENTROPY * losses.min():
            evidence = (
                f"{other} stays at {share:.4f}, and {name} gets no lower than {losses.min():.4f}, the entropy of two "
                "kinds with that share"
            )
            tell("error", evidence, _SEE_LABELS, part=name)


def _entropy(shares: Sequence[float]) -> float:
    """In nats, as losses are."""
    return -sum(share * float(np.log(share)) for share in shares)


def _nothing_found(epochs: Epochs, tell: Tell) -> str:
    for figure in ("recall", "positives", "f1"):
        for name, values in epochs.of(figure):
            if not values[-1]:
                ever = "in all epochs" if not values.any() else "at the end"
                tell("error", f"{name} is 0 {ever}: no positive sample is found", _SEE_LABELS, part=name)
    return _looked_at(epochs, ["recall", "positives", "f1"])


def _chance(epochs: Epochs, tell: Tell) -> str:
    for name, values in epochs.of("auroc"):
        late = values[len(values) // 2 :]
        if np.abs(late - 0.5).max() <= _NEAR_CHANCE:
            evidence = f"{name} stays between {late.min():.3f} and {late.max():.3f}"
            if name == "val_auroc" and epochs.validated is not None and _says_little(*epochs.validated):
                normals, defects = epochs.validated
                few = f"{evidence}, as by chance; of {count_of(normals, 'normal')} and {count_of(defects, 'defect')}"
                tell("note", f"{few} that says little", _VALIDATE_ON_MORE, part=name)
            else:
                tell("error", f"{evidence}: no better than chance", _SEE_LABELS, part=name)
    return _looked_at(epochs, ["auroc"])


def _says_little(num_normal: int, num_defect: int) -> bool:
    """Whether the AUROC of so few samples may well be near 0.5 though that of many is not."""
    return bool(np.sqrt((num_normal + num_defect + 1) / (12 * num_normal * num_defect)) > _WIDE)


def _validation(epochs: Epochs, tell: Tell) -> str:
    """Validation that is training again, or test."""
    for figure in FIGURES:
        of_train, of_validation = (epochs.columns.get(f"{part}{figure}") for part in ("", "val_"))
        if of_train is None or of_validation is None or len(of_train) < _FEWEST:
            continue
        if np.ptp(of_train) > 0 and np.array_equal(of_train, of_validation, equal_nan=True):
            evidence = f"val_{figure} equals {figure} to the last digit in all {count_of(len(of_train), 'epoch')}"
            tell("error", evidence, _SEE_VALIDATION, part=f"val_{figure}")
    parts = {part for part in ("val_", "test_") if any(name.startswith(part) for name in epochs.columns)}
    if parts == {"test_"} and epochs.num > 1:
        evidence = "test is measured after every epoch, and nothing else is: the best epoch was chosen on it"
        tell("warning", evidence, _HOLD_OUT)
    return f"{count_of(len(epochs.columns), 'figure')} of {count_of(epochs.num, 'epoch')}"


def _opposed(epochs: Epochs, tell: Tell) -> str:
    """A loss that can be had without what it stands for: it falls, and the figure gets worse."""
    losses, looked_at = epochs.columns.get("val_loss", np.empty(0)), []
    for name, better in epochs.measured() if losses.size else ():
        known = np.isfinite(losses) & np.isfinite(epochs.columns[name])
        loss, figure = losses[known], epochs.columns[name][known]
        if len(loss) < _COURSE:
            continue
        looked_at.append(name)
        worse, last = -figure if better == "max" else figure, int(loss.argmin())
        if loss[last] > _FALLEN * loss[0] or worse[last] <= worse[0]:
            continue
        if spearmanr(loss, worse).statistic <= _OPPOSED:
            evidence = (
                f"val_loss falls from {loss[0]:.4g} to {loss[last]:.4g}, and {name} gets worse with it, from "
                f"{figure[0]:.4g} to {figure[last]:.4g}"
            )
            tell("warning", evidence, _SEE_OBJECTIVE, part=name)
    return f"val_loss against {listed(looked_at) if looked_at else 'no figure of enough epochs'}"


def _too_good(epochs: Epochs, tell: Tell) -> str:
    for figure in _SHARES:
        for name, values in epochs.of(figure):
            if name.startswith(("val_", "test_")) or figure in epochs.anchors:
                told_of(name, float(values.max()), anchor=epochs.anchors.get(figure), tell=tell)
    return f"figures against {count_of(len(epochs.anchors), 'anchor')} (--anchor) and against perfection"


def told_of(name: str, value: float, *, anchor: float | None, tell: Tell) -> None:
    """Tell of a figure between 0 and 1 that is better than it can be expected to be."""
    if anchor is not None and 1 - value < _SUSPICIOUS * (1 - anchor):
        evidence = f"{name} is {value:.4f}, with less than half the error of the anchor, {anchor:.4f}"
        tell("warning", evidence, _SEE_LEAK, part=name)
    elif value == 1:
        tell("warning", f"{name} is 1, without one mistake", _SEE_LEAK, part=name)


def _looked_at(epochs: Epochs, figures: Sequence[str]) -> str:
    found = [name for figure in figures for name, _ in epochs.of(figure)]
    return (
        f"{listed(found)} of {count_of(epochs.num, 'epoch')}" if found else f"no {listed(figures, last='or')} is told"
    )


CURVE_CHECKS: Sequence[AuditCheck[Epochs]] = (
    AuditCheck("loss", "training", _loss),
    AuditCheck("finite", "training", _finite),
    AuditCheck("base rate", "training", _base_rate),
    AuditCheck("nothing found", "training", _nothing_found),
    AuditCheck("chance", "training", _chance),
    AuditCheck("validation", "training", _validation),
    AuditCheck("loss and figures", "training", _opposed),
    AuditCheck("too good", "result", _too_good),
)
