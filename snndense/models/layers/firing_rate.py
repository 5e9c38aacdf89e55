"""Running firing rate of every attention head."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

#: A head that falls silent halves its rate every 700 steps; in half precision the scale
#: of smaller rates would overflow in the end, and make NaN of its gradients.
MIN_RATE = 2**-20


class FiringRate(nn.Module):
    """Exponential average of firing rates, from which scales are computed.

    While training, :meth:`update` averages over the batches of all ranks; in
    evaluation the stored rates stand. A head that has not fired so far (rate exactly
    0, as in a fresh model) takes the rate of the first batch in which it fires, and
    until then counts as firing always, so that its scale is finite. Rates below 2^-20
    of heads that have fallen silent count as 2^-20.

    Args:
        num_heads (int): Number of heads.
        momentum (float): Weight of a batch; 0 fixes the rates. Defaults to 0.001.
        published (bool): Whether to compute as the published SpikingResformer does:
            each rank on its own; only the first batch of a run, and only with every
            stored rate at 0, sets the rates; a rate of 0 gives an infinite scale
            (spikes wherever the current is positive, gradients of NaN), small ones
            have no bound.
            Defaults to False.
    """

    def __init__(
        self, num_heads: int, momentum: float = 0.001, published: bool = False
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.published = published
        self.was_updated = False
        self.register_buffer('value', torch.zeros(num_heads))

    @torch.no_grad()
    def update(self, num_spikes: Tensor, num_elements: int) -> None:
        """Average in one batch.

        Args:
            num_spikes (Tensor): Spikes of every head, ``(num_heads,)``.
            num_elements (int): Places of each head where a spike could be.
        """
        if self.momentum == 0:  # fixed, as when a checkpoint is recomputed
            return
        totals = torch.cat((num_spikes, num_spikes.new_tensor([num_elements])))
        if not self.published:
            # upstream: every rank follows its own batches
            all_reduce(totals)
        rate = (totals[:-1] / totals[-1]).to(self.value.dtype)
        unset = self.value == 0
        if self.published:
            unset = unset.all() & (not self.was_updated)
        start = torch.where(unset, rate, self.value)
        self.value.copy_(start.lerp(rate, self.momentum))
        self.was_updated = True

    def scale(self, fan_in: int) -> Tensor:
        """``1 / sqrt(rate * fan_in)``, ``(num_heads,)``."""
        rate = self.value
        if not self.published:
            # upstream: infinite for a head that never fired, and without bound for one
            # that fires no more
            rate = torch.where(rate == 0, 1, rate.clamp(min=MIN_RATE))
        return (rate * fan_in).rsqrt()

    def extra_repr(self) -> str:
        return f'num_heads={self.value.numel()}, momentum={self.momentum}'
