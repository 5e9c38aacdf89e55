"""Counting operators while a model runs, and where their operands come from.

The calls are intercepted by spikingjelly's ``DispatchCounterMode``; the rules are ours,
since spikingjelly's take integer spikes for dense values.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Optional

from spikingjelly.activation_based.op_counter import BaseCounter, DispatchCounterMode
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from snndense.models.layers import SpikingNeuron

from . import operators as ops
from .neurons import NEURONS, spike_format, time_steps_of
from .origins import PRODUCT, REAL, WEIGHT, Origin, OriginMap

# layers of compiled extensions, whose arithmetic no operator shows, by class name
HIDDEN = ('RoIAlign', 'DeformConv2d', 'ModulatedDeformConv2d')


@dataclass
class Tally:
    """What one operator of one layer has done so far.

    Attributes:
        macs (int): Multiply-accumulates, as if all operands were dense.
        step_macs (int): Those of one time step.
        real_macs (int): Those of them without a spike operand.
        sops (int): Additions that spikes cause, exact.
        sops_rate (float): The same by mean rate times dense operations.
        coincidences (int): Pairs of spikes that meet in a product of spikes.
        gates (int): Values that a spike lets pass in an elementwise product.
        adds (int): Additions of real values in a pooling.
        spikes, elements (int): Of the spike operands, for their mean count.
        weight_bytes, bias_bytes (int): Parameters read, once per use.
        notes (set[str]): What the reader should know.
    """

    macs: int = 0
    step_macs: int = 0
    real_macs: int = 0
    sops: int = 0
    sops_rate: float = 0.0
    coincidences: int = 0
    gates: int = 0
    adds: int = 0
    spikes: int = 0
    elements: int = 0
    weight_bytes: int = 0
    bias_bytes: int = 0
    notes: set[str] = field(default_factory=set)


class OperatorCounter(BaseCounter):
    """Dense multiply-accumulates of every layer, from shapes alone.

    Args:
        model (nn.Module): The model that runs.

    Attributes:
        tallies (dict): ``(layer name, operator)`` -> :class:`Tally`.
        uncounted (Counter): Operators that no rule covers, and how often they ran.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.ignore_modules = list(NEURONS)
        self.model = model
        self.names = {module: name for name, module in model.named_modules()}
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.uncounted: Counter[str] = Counter()
        self.time_steps = time_steps_of(model)
        self.known = OriginMap()
        self._paused = 0
        self._layer, self._steps = '', 1  # of the call at hand

    # -- spikingjelly's interface

    def has_rule(self, func: Any) -> bool:
        return True  # what is unknown is noted in ``uncounted``

    def record(self, scope: str, func: Any, value: int) -> None:
        """Nothing: a call belongs to its innermost layer alone."""

    def count(
        self,
        func: Any,
        args: tuple,
        kwargs: dict,
        out: Any,
        active_modules: Optional[set[nn.Module]] = None,
        parent_names: Optional[set[str]] = None,
    ) -> int:
        active = (self.names[m] for m in active_modules or () if m in self.names)
        self._layer = max(active, key=len, default='')
        self._steps = max(map(self.known.steps, tree_leaves((args, kwargs))), default=1)
        origin = self._visit(func, args, out)
        is_over_time = func.overloadpacket in ops.SUMS and ops.sums_samples(args)
        steps = 1 if is_over_time else self._steps
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self.known.set(x, origin, steps)
        return 0

    # -- origins

    def _common_origin(self, args: tuple) -> Optional[Origin]:
        tensors = [x for x in tree_leaves(args) if isinstance(x, Tensor)]
        origins = {self.known.origin(x) for x in tensors if x.is_floating_point()}
        return origins.pop() if len(origins) == 1 else None

    # -- rules

    def tally(self, operator: str) -> Tally:
        return self.tallies.setdefault((self._layer, operator), Tally())

    def _visit(self, func: Any, args: tuple, out: Any) -> Origin | None:
        """Count one call; the origin of its output."""
        packet = func.overloadpacket
        x = ops.first_tensor(args)
        if func in ops.PRODUCTS:
            if not self._paused:
                self.add_product(ops.PRODUCTS[func](args, out))
            return PRODUCT
        if func.is_view or packet in ops.COPIES:
            return self._copied(packet, args)
        if packet in ops.MAX_POOLS:
            self.see_max_pool(x)
            return self.known.origin(x)
        first = out[0] if isinstance(out, (tuple, list)) else out
        if packet in ops.FUSED_ATTENTION:
            self.add_macs('attention', ops.attention_macs(args))
            return PRODUCT
        if packet in ops.BATCH_NORMS:
            origin = self.known.origin(x)
            if origin is not None and origin.foldable:
                return PRODUCT
            self.add_macs('norm', first.numel(), 'a norm that cannot be folded')
            return REAL
        if packet in ops.OTHER_NORMS:
            self.add_macs('norm', first.numel(), 'a norm that cannot be folded')
            return REAL
        if packet in ops.RESIZES:
            macs = ops.RESIZES[packet] * first.numel()
            self.add_macs('resize', macs, 'interpolates')
            return REAL
        if 'avg_pool' in packet.__name__ or packet in ops.SUMS:
            return self._summed(packet, args, out)
        if packet in ops.MULTIPLIES and self._is_activation_product(args, out):
            if not self._paused and not self._is_outside_layers():
                return self.add_elementwise(args[-2:], out)
            return REAL
        if not ops.is_free(func):
            self.uncounted[str(func)] += not self._paused
            return None
        return self._pointwise(packet, args, out)

    def _copied(self, packet: Any, args: tuple) -> Origin | None:
        if packet is ops.aten.copy_:
            target, source = self.known.origin(args[0]), self.known.origin(args[1])
            return source if target in (None, source) else None
        return self._common_origin(args)

    def _summed(self, packet: Any, args: tuple, out: Tensor) -> Origin | None:
        """Count a sum; sums of spikes are spikes, means are real."""
        is_pool = packet not in ops.SUMS
        if is_pool or not ops.sums_samples(args):
            # over the first axis it decodes time or gathers statistics
            if not self._paused:
                self.add_sum(packet, args, out)
            origin = self.known.origin(args[0])
            is_sum = args[6:7] == (1,) if is_pool else packet is ops.aten.sum
            if origin is not None and origin.kind == 'spikes' and is_sum:
                return origin._replace(foldable=True)
        return REAL

    def _pointwise(self, packet: Any, args: tuple, out: Any) -> Origin | None:
        """Origin behind elementwise arithmetic."""
        if not isinstance(out, Tensor) or len(args) < 2:
            return None
        a, b = self.known.origin(args[0]), self.known.origin(args[1])
        if packet in ops.SCALINGS:
            return self._scaled(packet, args, out)
        if packet in ops.ADDITIONS:
            both_spikes = a is not None and a == b and a.kind == 'spikes'
            # residual sums of spikes count them
            if both_spikes and packet in (ops.aten.add, ops.aten.add_):
                return a._replace(foldable=False)
            if REAL.kind in (o.kind for o in (a, b) if o):
                return REAL
        return None

    def _scaled(self, packet: Any, args: tuple, out: Tensor) -> Origin | None:
        """Origin behind a factor that the next weight or threshold absorbs."""
        x, factor = args[:2]
        if not isinstance(x, Tensor) or x.numel() < out.numel():
            x, factor = factor, x
        origin = self.known.origin(x)
        if origin is None or origin.kind != 'spikes':
            return origin
        if isinstance(factor, Tensor) or not factor:
            return REAL
        is_division = packet in (ops.aten.div, ops.aten.div_)
        norm = origin.norm * factor if is_division else origin.norm / factor
        return origin._replace(norm=norm)

    def _is_gain(self, x: Any, out: Tensor) -> bool:
        """Whether an operand is the same for all samples, as weights are."""
        if not isinstance(x, Tensor) or x.numel() == 1 or x.dim() < out.dim():
            return True
        if self.known.is_weight(x):
            return True
        return x.shape[0] == 1 and x.numel() < out.numel()

    def _is_activation_product(self, args: tuple, out: Tensor) -> bool:
        return (
            out.is_floating_point()
            and out.numel() > 1
            and not any(self._is_gain(x, out) for x in args[-2:])
        )

    def _is_outside_layers(self) -> bool:
        """Whether a whole model, not one of its layers, computes: it decodes boxes."""
        return self._layer == '' and hasattr(self.model, 'data_preprocessor')

    # -- what is counted

    def add_dense(self, operator: str, macs: int) -> Tally:
        """Count multiply-accumulates of the call at hand as if all were dense."""
        tally = self.tally(operator)
        tally.macs += macs
        tally.step_macs += macs // self._steps
        return tally

    def add_macs(self, operator: str, macs: int, note: str = '') -> None:
        """Count arithmetic on real values."""
        if self._paused:
            return
        tally = self.add_dense(operator, macs)
        tally.real_macs += macs
        tally.notes.update([note] if note else [])

    def add_product(self, product: ops.Product) -> None:
        self.add_dense(self._operator(product), product.macs)

    def _operator(self, product: ops.Product) -> str:
        operands = product.operands
        has_weight = any(self.known.is_weight(o.tensor) for o in operands)
        return 'linear' if has_weight else product.operator

    def add_elementwise(self, operands: tuple, out: Tensor) -> Origin | None:
        self.add_dense('elementwise', out.numel())
        return REAL

    def add_sum(self, packet: Any, args: tuple, out: Tensor) -> None:
        """Count a pooling or a sum over channels or positions: additions only."""

    def see_max_pool(self, x: Tensor) -> None:
        """Nothing to count."""

    def add_module(self, module: nn.Module, operands: list[Tensor]) -> None:
        """Count what a layer reports of itself."""
        for operator, macs in module.count_macs(*operands).items():
            self.add_dense(operator, macs)

    # -- running

    def set_input(self, inputs: Tensor) -> None:
        """Name the tensor that the backbone gets, before it runs.

        Event frames ``(N, T, C, H, W)`` have T steps from the start.
        """
        self.known.set(inputs, REAL, inputs.shape[1] if inputs.dim() == 5 else 1)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what runs inside."""
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            self.known.set(tensor, WEIGHT)
        handles = [
            module.register_forward_hook(self._see_neuron)
            for module in self.names
            if isinstance(module, NEURONS)
        ]
        handles += [
            module.register_forward_hook(self._see_hidden)
            for module in self.names
            if any(c.__name__ in HIDDEN for c in type(module).__mro__)
        ]
        try:
            with self._wrapped_layers(), DispatchCounterMode([self]):
                yield
        finally:
            for handle in handles:
                handle.remove()
            self.known.clear()

    def _see_neuron(self, neuron: nn.Module, inputs: tuple, out: Tensor) -> None:
        form = spike_format(neuron, out)
        steps = form.time_steps or 1
        if isinstance(neuron, SpikingNeuron):
            # one neuron after two branches has twice the steps of the model
            steps = min(steps, self.time_steps)
        self.known.set(out, Origin('spikes', form.norm), steps)

    def _see_hidden(self, module: nn.Module, inputs: tuple, out: Tensor) -> None:
        self._layer, self._steps = self.names[module], self.known.steps(inputs[0])
        if hasattr(module, 'weight'):
            self.add_macs(
                'deformable conv', out.numel() * module.weight[0].numel(), 'deformable'
            )
            self.known.set(out, PRODUCT, self._steps)
            return
        points = max(1, getattr(module, 'sampling_ratio', 0)) ** 2
        self.add_macs('resize', 4 * points * out.numel(), 'interpolates, at least')
        self.known.set(out, REAL, self._steps)

    @contextmanager
    def _wrapped_layers(self) -> Iterator[None]:
        """Let layers with ``count_ops`` report in place of the operators they call."""
        wrapped = []
        try:
            for module, name in self.names.items():
                if hasattr(module, 'count_ops'):
                    method = getattr(module, 'counted_method', 'forward')
                    wrapped.append((module, method, module.__dict__.get(method)))
                    setattr(module, method, self._wrap(module, method, name))
            yield
        finally:
            for module, method, before in wrapped:
                delattr(module, method)
                if before is not None:
                    setattr(module, method, before)

    def _wrap(self, module: nn.Module, method: str, name: str) -> Any:
        original = getattr(module, method)

        def wrapper(*args, **kwargs):
            self._paused += 1
            try:
                out = original(*args, **kwargs)
            finally:
                self._paused -= 1
            operands = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
            steps = max(map(self.known.steps, operands), default=1)
            self._layer, self._steps = name, steps
            if not self._paused:
                with _disable_current_modes():
                    self.add_module(module, operands)
            self.known.set(out, PRODUCT, self._steps)
            return out

        return wrapper
