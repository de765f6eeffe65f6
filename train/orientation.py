"""The task of orientations: by which angles about the vertical things may be turned, as a mixture of von Mises peaks.

Three targets say what is true of a row: `orientation`, its angle in degrees; `symmetry`, how many turns leave it as it
is, 0 for any; and `concentration`, the kappa of each true peak. What is predicted is the output `mixture`, (row, peak,
3): angle in radians, kappa and weight of each peak.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float64

from ..metrics.von_mises import SYMMETRIES, kl_divergence, symmetric_mixtures
from .tasks import LOSS, Direction, Targets
from .types import Prediction

ORIENTATION, SYMMETRY, CONCENTRATION = "orientation", "symmetry", "concentration"
MIXTURE = "mixture"


def true_mixtures(targets: Targets) -> Float64[np.ndarray, "rows peaks 3"]:
    """What is true of rows whose targets are all known."""
    return symmetric_mixtures(targets[ORIENTATION], targets[SYMMETRY], targets[CONCENTRATION])


def known_orientations(targets: Targets) -> Bool[np.ndarray, " rows"]:
    """Rows of which all three targets are known."""
    return np.asarray(
        np.isfinite(targets[ORIENTATION]) & np.isin(targets[SYMMETRY], SYMMETRIES) & np.isfinite(targets[CONCENTRATION])
    )


class OrientationTask:
    """Train on all rows whose orientation is known, towards the divergence of what is predicted from what is true."""

    target = ORIENTATION
    trains_on = "oriented sample"
    leaves_out = "other sample"
    outputs = (MIXTURE,)

    def training_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        return known_orientations(targets)

    def judged_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        return known_orientations(targets)

    def counts(self, targets: Targets) -> Mapping[str, int]:
        return {}

    def monitors(self) -> Mapping[str, Direction]:
        return {"val_kl": "min", LOSS: "min"}

    def obstacle(self, monitor: str, targets: Targets) -> str:
        return ""

    def validate(self, prediction: Prediction, targets: Targets) -> Mapping[str, float | None]:
        """Mean KL(truth || prediction) in nats, by quadrature."""
        known = known_orientations(targets)
        truth = true_mixtures({name: values[known] for name, values in targets.items()})
        predicted = prediction.outputs[MIXTURE].double().cpu().numpy()[known]
        return {"val_kl": float(kl_divergence(truth, predicted).mean())}
