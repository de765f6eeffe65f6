"""What convolutional backbones are made of that were trained in TensorFlow."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class SameConvolution(nn.Conv2d):
    """A convolution that pads as TensorFlow does: an odd pixel of padding goes to the right and below."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, maps: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        return super().forward(functional.pad(maps, [*self._padding(maps.shape[3]), *self._padding(maps.shape[2])]))

    def _padding(self, length: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        return total // 2, total - total // 2


class FrozenNorm(nn.Module):
    """Batch normalisation by the statistics of training, which never change here."""

    def __init__(self, channels: int, *, epsilon: float = 1e-3) -> None:
        super().__init__()
        self._epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels ..."]:
        return functional.batch_norm(
            maps, self.running_mean, self.running_var, self.weight, self.bias, eps=self._epsilon
        )
