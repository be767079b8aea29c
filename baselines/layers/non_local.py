"""The non-local block of Wang, Girshick, Gupta and He (CVPR 2018), embedded Gaussian: positions attend to each other."""

import torch
from torch import Tensor, nn


class NonLocal(nn.Module):
    """x + BN(W (g(x) softmax(theta(x)^T phi(x))^T)), with theta, phi, g to half the channels.

    BN starts at zero, so that the block starts as the identity. phi and W have no bias: the softmax and BN would cancel it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.value = (nn.Conv1d(channels, channels // 2, 1) for _ in range(2))
        self.key = nn.Conv1d(channels, channels // 2, 1, bias=False)
        norm = nn.BatchNorm1d(channels)
        nn.init.zeros_(norm.weight)
        self.output = nn.Sequential(nn.Conv1d(channels // 2, channels, 1, bias=False), norm)

    def forward(self, positions: Tensor) -> Tensor:
        """(B, C, N) to the same shape."""
        return positions + self.residual(positions)

    def residual(self, positions: Tensor) -> Tensor:
        """What is added, (B, C, N)."""
        attention = torch.softmax(self.query(positions).transpose(1, 2) @ self.key(positions), dim=2)
        added: Tensor = self.output(self.value(positions) @ attention.transpose(1, 2))
        return added
