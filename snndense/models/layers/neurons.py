"""Spiking neurons as activation layers over spikingjelly's stateless functions.

Every neuron maps a folded ``(T*N, ...)`` tensor to one of the same shape, starts
from rest at each call and keeps nothing afterwards: there is no state to reset,
so gradient checkpointing, EMA, DDP and export need no special care. The kernel
(CUDA, Triton or torch) is chosen by spikingjelly at run time and never stored.

They are registered in ``snndense.MODELS`` and therefore also serve as activation
layers: ``act_cfg=dict(type='snndense.LIF', time_steps=4)`` in a stock
``ConvModule`` spikes.
"""

import math

import torch
from spikingjelly.activation_based import functional, surrogate
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snndense.registry import MODELS

from .time import fold_time, unfold_time
from .virtual_steps import gather_steps, spread_spikes

SURROGATES = {'sigmoid': surrogate.Sigmoid, 'atan': surrogate.ATan}
#: Elements per step that a CPU works on at a time: a few arrays of them fit a cache.
CPU_CHUNK = 2**16


class SpikingNeuron(nn.Module):
    """What all neurons share: time is unfolded, the membrane starts at rest.

    Args:
        time_steps (int): T, the number of steps folded into the first axis.
            Defaults to 1.
        v_threshold (float): Threshold; a membrane equal to it fires.
            Defaults to 1.0.
        inplace (bool): Accepted because ``ConvModule`` passes it to every
            activation layer; a neuron never overwrites its input.

    Attributes:
        levels (int): Most spikes that one step can stand for (1 if binary).
        norm (float): Emitted value = number of spikes / norm.
        virtual_steps (int): D of spike-driven execution in evaluation, where every
            step takes D binary ones; 1 otherwise. Set by
            :func:`~snndense.models.time_steps.to_spike_driven`.

    Shape: ``(T*N, ...) -> (T*N, ...)``.
    """

    levels = 1
    norm = 1
    virtual_steps = 1

    def __init__(
        self, *, time_steps: int = 1, v_threshold: float = 1.0, inplace: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(time_steps, int) or time_steps < 1:
            raise ValueError(f'expected time_steps >= 1, but got {time_steps=}')
        self.time_steps = time_steps
        self.v_threshold = float(v_threshold)

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() == 0:  # no RoI in any picture; the kernels refuse it
            # parameters stay in the graph, as DDP wants
            return x + 0 * sum(p.sum() for p in self.parameters())
        if self.virtual_steps > 1:
            return self._fire_binary(x)
        return fold_time(self.fire(unfold_time(x, self.time_steps)))

    def _fire_binary(self, x: Tensor) -> Tensor:
        """Spikes at every virtual step, ``(D*T*N, ...) -> (D*T*N, ...)``."""
        if self.training:
            raise ValueError(
                'a spike-driven model only evaluates; train it on integers: '
                'snndense.models.time_steps.to_integer(model)'
            )
        x = gather_steps(x, self.virtual_steps)
        emitted = fold_time(self.fire(unfold_time(x, self.time_steps)))
        return spread_spikes(emitted, self.norm, self.virtual_steps)

    def fire(self, x_seq: Tensor) -> Tensor:
        """Emitted values of a whole sequence, ``(T, N, ...) -> (T, N, ...)``."""
        raise NotImplementedError

    @staticmethod
    def membrane_dtype(x_seq: Tensor) -> torch.dtype:
        # spikingjelly's kernels hold the membrane in float32 under half precision
        return torch.promote_types(x_seq.dtype, torch.float32)

    def resting_membrane(self, x_seq: Tensor, value: float = 0.0) -> Tensor:
        dtype = self.membrane_dtype(x_seq)
        return torch.full_like(x_seq[0], value, dtype=dtype, requires_grad=False)

    def extra_repr(self) -> str:
        return f'time_steps={self.time_steps}, v_threshold={self.v_threshold}'


class BinaryNeuron(SpikingNeuron):
    """A neuron that emits 0 or 1 and resets.

    Args:
        v_reset (float, optional): Membrane after a spike; None subtracts the
            threshold instead (soft reset). Defaults to 0.0.
        detach_reset (bool): Whether the spike inside the reset is cut from the
            graph. Defaults to True.
        surrogate (str): Surrogate gradient, ``'sigmoid'`` or ``'atan'``.
            Defaults to ``'sigmoid'``.
        alpha (float, optional): Its sharpness; None takes spikingjelly's default
            (4 for sigmoid, 2 for atan, the published values of SDT-V2 and of
            SpikingResformer).
        **kwargs: See :class:`SpikingNeuron`.
    """

    def __init__(
        self,
        *,
        v_reset: float | None = 0.0,
        detach_reset: bool = True,
        surrogate: str = 'sigmoid',
        alpha: float | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if surrogate not in SURROGATES:
            raise ValueError(
                f'expected surrogate to be one of {tuple(SURROGATES)}, but got '
                f'{surrogate=}'
            )
        self.v_reset = None if v_reset is None else float(v_reset)
        self.detach_reset = detach_reset
        options = {} if alpha is None else {'alpha': float(alpha)}
        self.surrogate_function = SURROGATES[surrogate](**options)

    def resting_membrane(self, x_seq: Tensor) -> Tensor:
        return super().resting_membrane(x_seq, self.v_reset or 0.0)

    def fire(self, x_seq: Tensor) -> Tensor:
        if x_seq.device.type != 'cpu' or torch.compiler.is_compiling():
            return self.integrate(x_seq)[0]
        learned = [p for p in self.parameters() if p.requires_grad]
        return _FireInChunks.apply(self, x_seq, *learned)

    def integrate(self, x_seq: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of a whole sequence, and the membrane after its last step.

        ``(T, N, ...) -> (T, N, ...), (N, ...)``.
        """
        raise NotImplementedError

    def fire_into(self, out: Tensor, x_seq: Tensor) -> None:
        """Write the spikes of ``integrate`` to ``out``; nothing learns from it."""
        out.copy_(self.integrate(x_seq)[0])

    def charge_weights(self) -> tuple[float, float] | None:
        """``(a, b)`` of ``h[t] = a * v[t-1] + b * x[t]``, with a reset to 0.

        None if the neuron does not integrate in this way.
        """
        return None

    def _weights_of_decay(
        self, decay: float, decay_input: bool
    ) -> tuple[float, float] | None:
        if self.v_reset != 0:
            return None
        return 1 - decay, decay if decay_input else 1.0


class _FireInChunks(torch.autograd.Function):
    """``neuron.integrate`` on a CPU, piece by piece: neurons are independent.

    spikingjelly's CPU kernels pass over the whole sequence once per operation and
    keep several sequences for the backward pass. Here a piece stays in cache, and its
    backward pass runs the kernel again on that piece, so that only the input is kept.
    """

    @staticmethod
    def forward(
        ctx, neuron: BinaryNeuron, x_seq: Tensor, *learned: nn.Parameter
    ) -> Tensor:
        ctx.neuron = neuron
        ctx.save_for_backward(x_seq, *learned)
        out = torch.empty_like(x_seq, memory_format=torch.contiguous_format)
        for x, spikes in zip(_chunks(x_seq), _chunks(out), strict=True):
            neuron.fire_into(spikes, x)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out: Tensor) -> tuple:
        x_seq, *learned = ctx.saved_tensors
        grad_x = torch.empty_like(x_seq, memory_format=torch.contiguous_format)
        grad_learned = [torch.zeros_like(p) for p in learned]
        pieces = zip(_chunks(x_seq), _chunks(grad_out), _chunks(grad_x), strict=True)
        for x, grad_spikes, grad in pieces:
            x = x.detach().requires_grad_()
            with torch.enable_grad():
                spikes = ctx.neuron.integrate(x)[0]
            grads = torch.autograd.grad(spikes, (x, *learned), grad_spikes)
            grad.copy_(grads[0])
            for total, part in zip(grad_learned, grads[1:], strict=True):
                total += part
        return None, grad_x, *grad_learned


def _chunks(x_seq: Tensor) -> tuple[Tensor, ...]:
    return x_seq.flatten(1).split(CPU_CHUNK, 1)


@MODELS.register_module()
class LIF(BinaryNeuron):
    """Leaky integrate-and-fire.

    ``h[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau``, a spike where
    ``h >= v_threshold``, then reset (spikingjelly ``lif_multi_step``).

    Args:
        tau (float): Membrane time constant, > 1. Defaults to 2.0.
        decay_input (bool): Whether the input is divided by tau too.
            Defaults to True.
        **kwargs: See :class:`BinaryNeuron`.
    """

    def __init__(self, *, tau: float = 2.0, decay_input: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        if not tau > 1:
            raise ValueError(f'expected tau > 1, but got {tau=}')
        self.tau = float(tau)
        self.decay_input = decay_input

    def integrate(self, x_seq: Tensor) -> tuple[Tensor, Tensor]:
        return functional.lif_multi_step(
            x_seq,
            self.resting_membrane(x_seq),
            self.tau,
            self.decay_input,
            self.v_threshold,
            self.v_reset,
            self.surrogate_function,
            self.detach_reset,
        )[:2]

    def fire_into(self, out: Tensor, x_seq: Tensor) -> None:
        if self.v_reset != 0 or not self.decay_input:
            super().fire_into(out, x_seq)
            return
        # the same values in a fourth of the kernel's time: attention maps of 10**9
        # elements pass through here
        is_power_of_two = math.frexp(self.tau)[0] == 0.5
        v = None
        for x, spikes in zip(x_seq.to(self.membrane_dtype(x_seq)), out, strict=True):
            if v is None:
                v = x / self.tau  # from rest
            elif is_power_of_two:  # then a product is as exact as the quotient
                v.add_(x - v, alpha=1 / self.tau)
            else:
                v.add_((x - v).div_(self.tau))
            torch.ge(v, self.v_threshold, out=spikes)
            v.addcmul_(spikes, v, value=-1)  # 0 after a spike

    def charge_weights(self) -> tuple[float, float] | None:
        return self._weights_of_decay(1 / self.tau, self.decay_input)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, tau={self.tau}'


@MODELS.register_module()
class PLIF(BinaryNeuron):
    """Parametric LIF: one learnable ``w`` per layer, ``1 / tau = sigmoid(w)``.

    Args:
        init_tau (float): Time constant at the start, > 1. Defaults to 2.0, so
            that ``w`` starts at 0.
        decay_input (bool): Whether the input is divided by tau too.
            Defaults to True.
        **kwargs: See :class:`BinaryNeuron`.
    """

    def __init__(
        self, *, init_tau: float = 2.0, decay_input: bool = True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        if not init_tau > 1:
            raise ValueError(f'expected init_tau > 1, but got {init_tau=}')
        self.decay_input = decay_input
        self.w = nn.Parameter(torch.tensor(-math.log(init_tau - 1.0)))

    def integrate(self, x_seq: Tensor) -> tuple[Tensor, Tensor]:
        return functional.plif_multi_step(
            x_seq,
            self.resting_membrane(x_seq),
            self.w,
            self.decay_input,
            self.v_threshold,
            self.v_reset,
            self.surrogate_function,
            self.detach_reset,
        )[:2]

    def charge_weights(self) -> tuple[float, float] | None:
        return self._weights_of_decay(self.w.sigmoid().item(), self.decay_input)


@MODELS.register_module()
class IF(BinaryNeuron):
    """Integrate-and-fire without leak: ``h[t] = v[t-1] + x[t]``.

    Args:
        **kwargs: See :class:`BinaryNeuron`.
    """

    def integrate(self, x_seq: Tensor) -> tuple[Tensor, Tensor]:
        return functional.if_multi_step(
            x_seq,
            self.resting_membrane(x_seq),
            self.v_threshold,
            self.v_reset,
            self.surrogate_function,
            self.detach_reset,
        )[:2]

    def charge_weights(self) -> tuple[float, float] | None:
        return self._weights_of_decay(0.0, False)


def build_neuron(neuron_cfg: dict, time_steps: int = 1, **overrides) -> SpikingNeuron:
    """Build one neuron layer from the ``neuron_cfg`` of a backbone, neck or head.

    Args:
        neuron_cfg (dict): For example ``dict(type='snndense.LIF', tau=2.0)``.
        time_steps (int): T of the module the neuron belongs to.
        **overrides: Replace entries of ``neuron_cfg``, such as a published
            threshold.

    Raises:
        TypeError: If ``neuron_cfg`` is not a dict with a ``type``, or an argument
            is not one of that neuron's.
        ValueError: If the type is unknown or no neuron, or ``time_steps`` is given
            in ``neuron_cfg`` too and disagrees.
    """
    if not isinstance(neuron_cfg, dict) or 'type' not in neuron_cfg:
        raise TypeError(
            "expected neuron_cfg to be a dict with a 'type', such as "
            f"dict(type='snndense.IntegerLIF', levels=4), but got {neuron_cfg!r}"
        )
    if neuron_cfg.get('time_steps', time_steps) != time_steps:
        raise ValueError(
            f'neuron_cfg has time_steps={neuron_cfg["time_steps"]}, but the module '
            f'around it has {time_steps=}; give it to the module only'
        )
    cfg = {**neuron_cfg, **overrides, 'time_steps': time_steps}
    neuron_type = cfg.pop('type')
    try:
        is_name = isinstance(neuron_type, str)
        neuron_class = MODELS.get(neuron_type) if is_name else neuron_type
    except RuntimeError:
        neuron_class = None
    if not (isinstance(neuron_class, type) and issubclass(neuron_class, SpikingNeuron)):
        raise ValueError(
            f'unknown neuron type {neuron_type!r} in neuron_cfg; expected one of '
            "'snndense.IntegerLIF', 'snndense.LIF', 'snndense.PLIF', 'snndense.IF' "
            'or a registered subclass of SpikingNeuron'
        )
    try:
        return neuron_class(**cfg)
    except TypeError as error:
        raise TypeError(f'neuron_cfg={neuron_cfg!r}: {error}') from error
