"""What to know of a classifier's figures before believing them, in plain words."""

from collections.abc import Iterator

from ....metrics.estimate import span
from ....wording import shortened
from .figures import ClassAssessment

_FEW = 5
_NAMED = 3


def caveats(found: ClassAssessment) -> Iterator[str]:
    if found.accuracy.low <= found.majority.high:
        yield (
            f"The accuracy's interval ({span(found.accuracy)}) is not above that of always answering "
            f"{found.majority_class} ({span(found.majority)}): the model is not shown to tell the classes apart."
        )
    few = [name for name, each in found.by_class.items() if each.num < _FEW]
    if few:
        yield f"Fewer than {_FEW} samples of these classes were evaluated: {shortened(few, most=_NAMED)}."
