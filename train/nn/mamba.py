"""The Mamba layer: a selective state space model over a sequence (Gu and Dao 2023, arXiv:2312.00752, section 3)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .kernels.causal_convolution import causal_convolution
from .kernels.selective_scan import selective_scan

_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e-1  # step sizes at the start are log-uniform between these


class Mamba(nn.Module):
    """Causal sequence layer, (batch, time, d_model) to the same shape.

    Parameters carry the names, shapes and starting values of `mamba_ssm.Mamba(d_model, d_state, d_conv, expand)`, so
    weights move between the two in both directions.
    """

    def __init__(self, d_model: int, *, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        d_inner = expand * d_model
        self.d_state = d_state
        self.dt_rank = math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.arange(1, d_state + 1, dtype=torch.float32).log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self._reset_step_projection()

    @torch.no_grad()
    def _reset_step_projection(self) -> None:
        """Start with step sizes that are log-uniform over channels, and a projection that keeps their variance."""
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        low, high = math.log(_SMALLEST_STEP), math.log(_LARGEST_STEP)
        step_sizes = torch.exp(torch.empty_like(self.dt_proj.bias).uniform_(low, high))
        # The inverse of softplus, written so that small step sizes keep their digits.
        self.dt_proj.bias.copy_(step_sizes + torch.log(-torch.expm1(-step_sizes)))

    def forward(self, sequence: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        """Each output step sees its own and all earlier steps, never a later one."""
        inputs_weight, gate_weight = self.in_proj.weight.chunk(2)
        assert self.conv1d.bias is not None
        inputs = causal_convolution(
            functional.linear(sequence, inputs_weight), weight=self.conv1d.weight.squeeze(1), bias=self.conv1d.bias
        )
        step_features, input_weights, output_weights = self.x_proj(inputs).split(
            [self.dt_rank, self.d_state, self.d_state], dim=-1
        )
        outputs = selective_scan(
            inputs,
            step_logits=self.dt_proj(step_features),
            state_decay=-torch.exp(self.A_log),
            input_weights=input_weights,
            output_weights=output_weights,
            skip_weights=self.D,
            gate_logits=functional.linear(sequence, gate_weight),
        )
        projected: Tensor = self.out_proj(outputs)
        return projected
