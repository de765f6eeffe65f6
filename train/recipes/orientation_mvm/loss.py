"""Losses of predicted mixtures of von Mises peaks, in torch.

`mixture_kl` is what is wanted itself: KL(truth || prediction) of the whole densities, by quadrature. Two losses are
upper bounds on it: the same of the peaks that `of_symmetry` leaves, and `matched_kl` (the chain rule of divergences),
which takes each true peak with one predicted peak, by the cheapest matching. `original_loss` is what a published
experiment minimised: each matched peak's divergence from the truth, weighted by what the *prediction* gives it. Whoever
gives one peak all the weight need care for no other, so that weights (1, 0, 0, 0) cost nothing: it is here so that this
can be shown.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ....metrics.von_mises import NUM_STEPS, SYMMETRIES


@dataclass(frozen=True, eq=False)
class Peaks:
    """Mixtures, one a row: angles in radians, concentrations, logarithms of weights."""

    angle: Float[Tensor, "batch peaks"]
    kappa: Float[Tensor, "batch peaks"]
    log_weight: Float[Tensor, "batch peaks"]

    def stacked(self) -> Float[Tensor, "batch peaks 3"]:
        """Angle from 0 to 2 pi, kappa and weight in the last axis, as `metrics.von_mises` has them."""
        return torch.stack([self.angle.remainder(2 * math.pi), self.kappa, self.log_weight.exp()], dim=-1)


def true_peaks(
    orientation: Shaped[Tensor, " batch"], symmetry: Shaped[Tensor, " batch"], kappa: Shaped[Tensor, " batch"]
) -> Peaks:
    """What is true of things at these angles (degrees), as `metrics.von_mises.symmetric_mixtures`; as many peaks as the
    most symmetric may have, of which those that a row has not are without weight."""
    places = torch.arange(max(SYMMETRIES), device=orientation.device)
    count = symmetry.clamp(min=1).unsqueeze(1)
    angle = torch.deg2rad(orientation).unsqueeze(1) + 2 * math.pi * places / count
    kappas = torch.where(symmetry > 0, kappa, 0.0).unsqueeze(1).expand_as(angle)
    log_weight = torch.where(places < count, -count.float().log(), -torch.inf)
    return Peaks(angle.float(), kappas.float(), log_weight)


def of_symmetry(predicted: Peaks, symmetry: Shaped[Tensor, " batch"], *, of_peaks: Shaped[Tensor, " peaks"]) -> Peaks:
    """The peaks of the symmetry that a row truly has, with the weights that they have; the others lose theirs, and with
    it density, so that the divergence from what is left is an upper bound. Where no peak is of that symmetry all are
    left. `of_peaks` is the symmetry that each peak belongs to.

    While a network does not know yet which symmetry is right, its peaks of the right one have little weight in the
    mixture and hardly a gradient; here they have the whole, and what their weight lacks is the cross-entropy of the
    symmetries.
    """
    own = of_peaks == symmetry.unsqueeze(1)
    lost = own.any(dim=1, keepdim=True) & ~own
    return replace(predicted, log_weight=predicted.log_weight.masked_fill(lost, -torch.inf))


def log_bessel(kappa: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """log I0(kappa), scaled on the way: I0 itself overflows in float32 at kappa 89."""
    found: Tensor = torch.special.i0e(kappa).log() + kappa
    return found


def mean_length(kappa: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """A(kappa) = I1(kappa) / I0(kappa): the length of the mean of unit vectors at the angles."""
    found: Tensor = torch.special.i1e(kappa) / torch.special.i0e(kappa)
    return found


def kl_of_peaks(
    kappa: Float[Tensor, "*#axes"], other_kappa: Float[Tensor, "*#axes"], apart: Float[Tensor, "*#axes"]
) -> Tensor:
    """KL of one von Mises distribution to another in nats, whose angles are `apart` radians."""
    lengths = log_bessel(other_kappa) - log_bessel(kappa)
    return lengths + mean_length(kappa) * (kappa - other_kappa * apart.cos())


def log_density(peaks: Peaks, angles: Float[Tensor, " angles"]) -> Float[Tensor, "batch angles"]:
    """Logarithm of the density of each mixture at each angle."""
    apart = angles - peaks.angle.unsqueeze(-1)
    kappa = peaks.kappa.unsqueeze(-1)
    log_peaks = kappa * (apart.cos() - 1) - torch.special.i0e(kappa).log() - math.log(2 * math.pi)
    return torch.logsumexp(peaks.log_weight.unsqueeze(-1) + log_peaks, dim=1)


def circle(like: Tensor) -> Float[Tensor, " steps"]:
    """Angles in equal steps, on the device of a tensor."""
    return torch.arange(NUM_STEPS, device=like.device) * (2 * math.pi / NUM_STEPS)


def mixture_kl(truth: Peaks, predicted: Peaks) -> Float[Tensor, " batch"]:
    """KL(truth || predicted) of each row, by the periodic trapezoidal rule."""
    angles = circle(predicted.angle)
    true, found = log_density(truth, angles), log_density(predicted, angles)
    return (true.exp() * (true - found)).sum(dim=1) * (2 * math.pi / NUM_STEPS)


def entropy(peaks: Peaks) -> Float[Tensor, " batch"]:
    """Entropy of each mixture in nats: at most log 2 pi, of the uniform one."""
    found = log_density(peaks, circle(peaks.angle))
    return -(found.exp() * found).sum(dim=1) * (2 * math.pi / NUM_STEPS)


def matched_kl(truth: Peaks, predicted: Peaks) -> Float[Tensor, " batch"]:
    """By the true weights: of each true peak the divergence from the predicted peak that it is matched with, and what
    that peak's weight lacks. Never less than `mixture_kl`."""
    there = truth.log_weight.isfinite()
    weight = truth.log_weight.exp()
    costs = kl_of_peaks(truth.kappa.unsqueeze(2), predicted.kappa.unsqueeze(1), _apart(truth, predicted))
    costs = costs + truth.log_weight.where(there, 0.0).unsqueeze(2) - predicted.log_weight.unsqueeze(1)
    places = _matched(weight.unsqueeze(2) * costs, there)
    return (weight * costs.gather(2, places).squeeze(2)).sum(dim=1)


def original_loss(truth: Peaks, predicted: Peaks) -> Float[Tensor, " batch"]:
    """By the *predicted* weights: of each matched predicted peak the divergence from its true one."""
    there = truth.log_weight.isfinite()
    costs = kl_of_peaks(predicted.kappa.unsqueeze(1), truth.kappa.unsqueeze(2), _apart(truth, predicted))
    places = _matched(costs, there)
    weight = predicted.log_weight.exp().gather(1, places.squeeze(2)) * there
    return (weight * costs.gather(2, places).squeeze(2)).sum(dim=1)


def _apart(truth: Peaks, predicted: Peaks) -> Float[Tensor, "batch true predicted"]:
    return truth.angle.unsqueeze(2) - predicted.angle.unsqueeze(1)


@torch.no_grad()
def _matched(
    costs: Float[Tensor, "batch true predicted"], there: Shaped[Tensor, "batch true"]
) -> Int64[Tensor, "batch true 1"]:
    """The predicted peak of each true one by the matching that costs least (Hungarian method); on the host, a row at a
    time. True peaks without weight get the first."""
    found = np.zeros((*there.shape, 1), dtype=np.int64)
    for row, (cost, real) in enumerate(zip(costs.cpu().numpy(), there.cpu().numpy(), strict=True)):
        true, predicted = linear_sum_assignment(cost[real])
        found[row, np.flatnonzero(real)[true], 0] = predicted
    return torch.from_numpy(found).to(costs.device)


LOSSES = {
    "mixture_kl": mixture_kl,
    "symmetry_kl": mixture_kl,  # of what `of_symmetry` leaves
    "matched_kl": matched_kl,
    "original": original_loss,
}
"""The losses by the names that settings choose them by."""
