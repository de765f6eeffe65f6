"""How many samples go through a backbone at once: as many as the device has memory for, one if one is at fault."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import WeldcacheError
from ..progress import say
from .features.kind import Encoder, Features, Prepared

CPU_GROUP_SIZE = 8  # fixed, so that equal data give equal bytes on every machine


@dataclass
class AdaptiveEncoder:
    """An encoder whose batches shrink when memory runs out, and stay small.

    On a CPU they never do, and a group of samples is one batch: its results are the same to the last bit each time.
    """

    encoder: Encoder
    name: str
    at_once: int  # samples a batch

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """As `Encoder.encode`, in several batches where one does not fit.

        Raises:
            WeldcacheError: if not even one sample fits.
        """
        parts: list[Features] = []
        done = 0
        while done < len(prepared):
            batch = prepared[done : done + self.at_once]
            try:
                parts.append(self.encoder.encode(batch, feature_sets=feature_sets))
            except torch.OutOfMemoryError:
                self._shrink(len(batch))
                continue
            done += len(batch)
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _shrink(self, tried: int) -> None:
        if tried == 1:
            raise WeldcacheError(
                f"The memory of the device does not hold one sample of {self.name}. Free it of other programs, or "
                "extract with --set extract.device=cpu; complete rows are safe."
            ) from None
        torch.cuda.empty_cache()
        self.at_once = tried // 2
        say(f"{self.name}: memory ran out with {tried} at once; going on with {self.at_once}.")


@dataclass(frozen=True)
class Encoded:
    """What a backbone made of a group: features of those that it could take, and why it could not take the others."""

    rows: Sequence[int]
    features: Features
    failures: Mapping[int, str] = field(default_factory=dict)  # by row


def encode_group(
    encoder: AdaptiveEncoder, prepared: Mapping[int, Prepared], *, feature_sets: frozenset[str]
) -> Encoded:
    """Encode samples by row. If the backbone raises, each sample is tried alone, so that one cannot cost the others.

    Raises:
        Exception: what the backbone raised, where it takes none of several samples: the fault is not theirs.
    """
    try:
        return Encoded(list(prepared), encoder.encode(list(prepared.values()), feature_sets=feature_sets))
    except WeldcacheError:
        raise
    except Exception as error:
        first_error = error
    taken: dict[int, Features] = {}
    failures: dict[int, str] = {}
    for row, item in prepared.items():
        try:
            taken[row] = encoder.encode([item], feature_sets=feature_sets)
        except WeldcacheError:
            raise
        except Exception as error:
            failures[row] = f"the backbone failed on it ({type(error).__name__}: {error})"
    if not taken and len(prepared) > 1:
        raise first_error
    return Encoded(list(taken), _joined(list(taken.values())) if taken else {}, failures)


def _joined(parts: Sequence[Features]) -> Features:
    return {
        name: {array: _cat([part[name][array] for part in parts]) for array in arrays}
        for name, arrays in parts[0].items()
    }


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(tensors))
