"""Stochastic depth that drops a sample at all its time steps together."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero a residual branch for random samples while training.

    The stock layers draw one mask per entry of the first axis; with time folded
    there that would drop single time steps of a sample. Here the draw is per
    sample (https://arxiv.org/abs/1603.09382).

    Args:
        drop_prob (float): Probability of dropping the branch.
        time_steps (int): T. Defaults to 1.

    Shape: ``(T*N, ...) -> (T*N, ...)``.
    """

    def __init__(self, drop_prob: float, time_steps: int = 1) -> None:
        super().__init__()
        if not 0 <= drop_prob < 1:
            raise ValueError(f'expected 0 <= drop path rate < 1, but got {drop_prob}')
        self.drop_prob = float(drop_prob)
        self.time_steps = time_steps

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        samples = x.shape[0] // self.time_steps
        mask = x.new_empty(samples, *[1] * (x.dim() - 1)).bernoulli_(keep).div_(keep)
        return x * mask.repeat(self.time_steps, *[1] * (x.dim() - 1))

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob}'


def drop_path_ramp(rate: float, depth: int) -> list[float]:
    """Drop probabilities of ``depth`` blocks, rising linearly from 0 to ``rate``."""
    steps = max(depth - 1, 1)
    return [rate * index / steps for index in range(depth)]
