"""Spiking response pooling: spikes of a window are counted, not merely detected."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import (
    IntegerLIF,
    build_neuron,
    build_norm,
    hold_unless_spikes,
    is_exporting,
)

SPOOLS = ('if', 'lif', 'bn', 'dw', 'avg', 'max')
# 1 - 1 / NO_LEAK rounds to 1: an IntegerLIF that forgets nothing between steps
NO_LEAK = 2.0**60


def build_integrator(neuron_cfg: dict, time_steps: int) -> nn.Module:
    """The neuron of the pooling: no leak, threshold 1, the remainder is kept.

    Args:
        neuron_cfg (dict): Neuron of the network: an ``IntegerLIF`` keeps its
            levels, a binary one gives an ``IF`` with its surrogate gradient.
        time_steps (int): T.
    """
    if isinstance(build_neuron(neuron_cfg, time_steps), IntegerLIF):
        return build_neuron(neuron_cfg, time_steps, tau=NO_LEAK, v_threshold=1.0)
    surrogate = {k: neuron_cfg[k] for k in ('surrogate', 'alpha') if k in neuron_cfg}
    return build_neuron(dict(type='IF', v_reset=None, **surrogate), time_steps)


class SPooling(nn.Module):
    """Spiking response pooling (SPooling) of stride 2, LSFormer (re-design).

    LSFormer (https://arxiv.org/abs/2605.13887) replaces max pooling, which keeps
    only the strongest response, by a pooling to which every response of the region
    contributes. The paper's formula is not public; this one is our choice::

        R[t] = sum of the spikes in the window          # an integer
        h[t] = V[t-1] + g_c * R[t]                      # no leak
        s[t] = 1 if h[t] >= 1 else 0
        V[t] = h[t] - s[t]                              # the remainder is kept

    with one learnable gain ``g_c > 0`` per channel. ``g R >= 1`` is ``R >= 1 / g``,
    so inference adds and compares. ``g = 1 / |window|`` passes the rate of an
    average pooling on, ``g >= 1`` at T = 1 is max pooling; it starts at
    ``1 / kernel_size``. Positions outside the image count as no spike. An
    ``IntegerLIF`` emits ``clip(round(h), 0, D)`` instead, from the sum of the counts.

    Args:
        channels (int): Channels C.
        spool (str): ``'if'`` as above; ``'lif'`` with the (leaky) neuron of the
            network; ``'bn'`` with a batch norm of R in place of the gain; ``'dw'``
            with a depthwise kernel in place of the gain; ``'avg'`` average pooling
            (not spike-driven) and ``'max'`` max pooling, both without a neuron.
            Defaults to ``'if'``.
        kernel_size (int): Side of the window. Defaults to 3.
        neuron_cfg (dict): Neuron of the network.
        norm_cfg (dict): Batch norm of ``'bn'``. Defaults to ``dict(type='BN')``.
        time_steps (int): T. Defaults to 1.

    Shape: ``(T*N, C, H, W) -> (T*N, C, ceil(H / 2), ceil(W / 2))``.

    Raises:
        ValueError: For an unknown ``spool`` or a window below 2.
    """

    virtual_steps = 1

    def __init__(
        self,
        channels: int,
        *,
        spool: str = 'if',
        kernel_size: int = 3,
        neuron_cfg: dict,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        time_steps: int = 1,
    ) -> None:
        super().__init__()
        if spool not in SPOOLS:
            raise ValueError(f'expected spool in {SPOOLS}, but got {spool=}')
        if not isinstance(kernel_size, int) or kernel_size < 2:
            raise ValueError(f'expected a pooling window >= 2, but got {kernel_size=}')
        self.spool = spool
        self.kernel_size = kernel_size
        self.neuron = None
        if spool in ('avg', 'max'):
            return
        if spool == 'lif':
            self.neuron = build_neuron(neuron_cfg, time_steps)
        else:
            self.neuron = build_integrator(neuron_cfg, time_steps)
        gain = 1 / kernel_size
        if spool == 'bn':
            self.norm = build_norm(norm_cfg, channels)
        elif spool == 'dw':
            shape = (channels, 1, kernel_size, kernel_size)
            self.weight = nn.Parameter(torch.full(shape, gain))
        else:
            self.gain = nn.Parameter(torch.full((channels,), gain))

    def forward(self, x: Tensor) -> Tensor:
        if self.neuron is None:
            if self.spool == 'avg':
                return F.avg_pool2d(x, **self._window())
            # SEW: sums of spikes come in
            x = hold_unless_spikes(x, self.virtual_steps)
            return F.max_pool2d(x, **self._window())
        return self.neuron(self.charge(x))

    def charge(self, x: Tensor) -> Tensor:
        """What every window adds to the membrane."""
        norm = self.neuron.norm  # emitted values are counts / norm
        if self.spool == 'dw':
            return self._depthwise(x, self.weight) * norm
        # sums of spikes are small integers: exact in half precision too
        if is_exporting():  # ONNX's average pooling has no divisor of one's own
            kernel = x.new_ones(x.shape[1], 1, self.kernel_size, self.kernel_size)
            response = self._depthwise(x, kernel) * norm
        else:
            response = F.avg_pool2d(x, **self._window(), divisor_override=1) * norm
        if self.spool == 'bn':
            return self.norm(response)
        return response * self.gain.abs().view(1, -1, 1, 1)

    def _window(self) -> dict:
        # output side ceil(H / 2): odd windows are centred on every second position,
        # even ones begin there, the last one perhaps incomplete
        return dict(
            kernel_size=self.kernel_size,
            stride=2,
            padding=(self.kernel_size - 1) // 2,
            ceil_mode=self.kernel_size % 2 == 0,
        )

    def _depthwise(self, x: Tensor, weight: Tensor) -> Tensor:
        padding = (self.kernel_size - 1) // 2
        if self.kernel_size % 2 == 0:  # what ceil_mode adds
            x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        return F.conv2d(x, weight, None, 2, padding, groups=x.shape[1])

    def extra_repr(self) -> str:
        return f'spool={self.spool!r}, kernel_size={self.kernel_size}'
