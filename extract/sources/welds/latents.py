"""What a generator knows of the welds that it made: `latents.csv` beside the manifest, which no real data have."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from ....cache.targets import TargetSpec, TargetValue
from ....documents import decoded, read_regular_file
from ....errors import SourceError, reason_of

LATENTS_NAME = "latents.csv"

# A target, as no attribute may be: what is known of attributes goes into the media-free control.
CAUSAL_BREAK = TargetSpec(
    "causal_break",
    "int8",
    classes=("no", "yes"),
    caveat=(
        "made by weldcache's own generator, which joins the process of one sound weld with the seam of another; what "
        "is found of them says nothing about real ones."
    ),
)


def read_causal_breaks(root: Path) -> Mapping[str, dict[str, TargetValue]]:
    """By the key of a weld what is known of `CAUSAL_BREAK`; nothing where no generator has written it.

    Raises:
        SourceError: if there is a `latents.csv` that cannot be read.
    """
    path = root / LATENTS_NAME
    try:
        rows = list(csv.DictReader(io.StringIO(decoded(read_regular_file(path), encoding="utf-8"), newline="")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(
            f"{path} cannot be read: {reason_of(error)}. Only `weldcache synth` writes such a file; remove any other."
        ) from error
    codes = {"0": 0, "1": 1}
    return {
        row["key"]: {CAUSAL_BREAK.name: codes[row["causal_break"]]}
        for row in rows
        if row.get("key") and row.get("causal_break") in codes
    }
