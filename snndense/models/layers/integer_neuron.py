"""The integer neuron: counts up to D while training, D binary steps when deployed."""

import torch
from spikingjelly.activation_based import functional, surrogate
from torch import Tensor

from snndense.registry import MODELS

from .neurons import SpikingNeuron

ROUNDINGS = ('half_even', 'half_up')


class _SpikeCount(torch.autograd.Function):
    """``round(clamp(x, 0, D))``; gradient 1 where x lies within the bounds.

    Half-to-even, it is spikingjelly's ``MultiLevelSpikeCount``, except that one byte
    per element is kept for the backward pass instead of x, and nothing without one.
    """

    @staticmethod
    def forward(ctx, x: Tensor, levels: int, half_up: bool) -> Tensor:
        count = x.clamp(0, levels)
        if not ctx.needs_input_grad[0]:
            return count.add_(0.5).floor_() if half_up else count.round_()
        window = (x > 0) & (x < levels) if half_up else count == x
        ctx.save_for_backward(window)
        # not in place: compiled, the window would be that of the rounded count
        return (count + 0.5).floor() if half_up else count.round()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        (window,) = ctx.saved_tensors
        return grad * window, None, None


@MODELS.register_module()
class IntegerLIF(SpikingNeuron):
    """Integer-valued LIF: trains on D + 1 levels, runs as D binary steps.

    With ``h`` the membrane, the count is ``n = round(clamp(h / v_threshold, 0,
    D))`` and ``n / norm`` is emitted; the gradient passes where ``0 <= h <= D``,
    both ends included. Over T > 1 steps the membrane leaks by ``1 - 1 / tau``
    and ``n`` thresholds are subtracted, as in I-LIF (https://arxiv.org/abs/2407.20708).
    At T = 1 this is ``MultiSpike`` of SDT-V3 (https://arxiv.org/abs/2411.16061)
    and of the ST-ERF models (https://arxiv.org/abs/2510.21403).

    Args:
        levels (int): D, the largest count. Defaults to 4.
        norm (float, optional): Divisor of the count; None means ``levels``, which
            emits rates in [0, 1]. Published detection heads use 1.
        train_levels (int, optional): D while training, for the published modules
            that train and evaluate with different bounds (``SpikeFPN``: 4 and 1;
            the ST-ERF copy of ``SDEFormer``: 8 and 4). None: the same as
            ``levels``.
        tau (float): Time constant between steps, >= 1; 1 forgets the membrane.
            Unused at T = 1. Defaults to 4 / 3.
        rounding (str): ``'half_even'``, or ``'half_up'`` with a gradient strictly
            inside (0, D), the rule of SDT-V3 large (T = 1 or ``tau=1`` only).
        **kwargs: See :class:`SpikingNeuron`.

    Attributes:
        built_levels (int): D as given; ``levels`` may be another one later on, see
            :func:`~snndense.models.time_steps.set_levels`.

    Raises:
        ValueError: For a bound, divisor, time constant or rounding out of range.
    """

    def __init__(
        self,
        *,
        levels: int = 4,
        norm: float | None = None,
        train_levels: int | None = None,
        tau: float = 4 / 3,
        rounding: str = 'half_even',
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in dict(levels=levels, train_levels=train_levels).items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f'expected {name} to be an int >= 1, but got {value}')
        if norm is not None and not norm > 0:
            raise ValueError(f'expected norm > 0, but got {norm=}')
        if not tau >= 1:
            raise ValueError(f'expected tau >= 1, but got {tau=}')
        if rounding not in ROUNDINGS:
            raise ValueError(f'expected rounding in {ROUNDINGS}, but got {rounding=}')
        self.levels = self.built_levels = levels
        self.train_levels = train_levels or levels
        self.norm = norm or levels
        self.tau = float(tau)
        self.rounding = rounding
        self.check_rounding(self.time_steps)

    def check_rounding(self, time_steps: int) -> None:
        """Raise ValueError for more steps than the rounding is defined for."""
        if self.rounding == 'half_up' and time_steps > 1 and self.tau != 1:
            raise ValueError(
                "rounding='half_up' is defined for a membrane that is not carried from "
                f'step to step, but got {time_steps=} and tau={self.tau}; set tau=1'
            )

    def fire(self, x_seq: Tensor) -> Tensor:
        levels = self.train_levels if self.training else self.levels
        count = self.count(x_seq, levels)
        return count if self.norm == 1 else count.div_(self.norm)

    def count(self, x_seq: Tensor, levels: int) -> Tensor:
        """Integer spike counts in ``[0, levels]``."""
        if self.time_steps == 1 or self.tau == 1:  # no membrane to carry over
            h = x_seq if self.v_threshold == 1 else x_seq / self.v_threshold
            return _SpikeCount.apply(h, levels, self.rounding == 'half_up')
        return functional.ilif_multi_step(
            x_seq,
            self.resting_membrane(x_seq),
            self.tau,
            self.v_threshold,
            surrogate.MultiLevelSpikeCount(levels),
        )[0]

    def extra_repr(self) -> str:
        bounds = f'levels={self.levels}, norm={self.norm}'
        if self.train_levels != self.levels:
            bounds += f', train_levels={self.train_levels}'
        return f'{super().extra_repr()}, {bounds}'
