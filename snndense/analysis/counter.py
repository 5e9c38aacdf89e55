"""Counting operators while a model runs, and where their operands come from.

The calls are intercepted by spikingjelly's ``DispatchCounterMode``; the rules are ours,
since spikingjelly's take integer spikes for dense values.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from spikingjelly.activation_based.op_counter import BaseCounter, DispatchCounterMode
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from snndense.models.layers import SpikingNeuron

from . import operators as ops
from .evaluation import without_attention_fast_path
from .neurons import NEURONS, StepWatch, spike_format
from .origins import (
    CONSTANT,
    IMAGE,
    PRODUCT,
    REAL,
    STILL,
    WEIGHT,
    Origin,
    OriginMap,
    Time,
)
from .origins import NEURONS as FROM_NEURONS
from .tallies import Tally, TallyBook

# layers of compiled extensions, whose arithmetic no operator shows, by class name
HIDDEN = ('RoIAlign', 'DeformConv2d', 'ModulatedDeformConv2d')


class OperatorCounter(BaseCounter):
    """Dense multiply-accumulates of every layer, from shapes alone.

    Args:
        model (nn.Module): The model that runs.

    Attributes:
        book (TallyBook): What every layer has done.
        uncounted (Counter): Operators that no rule covers, and how often they ran.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.ignore_modules = list(NEURONS)
        self.model = model
        self.names = {module: name for name, module in model.named_modules()}
        self._hidden = {
            name
            for module, name in self.names.items()
            if any(c.__name__ in HIDDEN for c in type(module).__mro__)
        }
        self.book = TallyBook()
        self.uncounted: Counter[str] = Counter()
        self.watch = StepWatch(model)
        self.known = OriginMap()
        self._paused = 0
        self._parts: list[str] = []  # of a whole model, that run
        self._layer, self._time = '', STILL  # of the call at hand

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
        active_modules: set[nn.Module] | None = None,
        parent_names: set[str] | None = None,
    ) -> int:
        active = (self.names[m] for m in active_modules or () if m in self.names)
        self._layer = max((*active, *self._parts[-1:]), key=len, default='')
        operands = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        self._time = self.known.joint_time(operands)
        origin = self._visit(func, args, out)
        time = self._time_behind(func.overloadpacket, args, out)
        for x in tree_leaves(out):
            if not isinstance(x, Tensor):
                continue
            # a view is known by its storage; one of a weight, where tensors are fake,
            # has another
            if not (func.is_view and self.known.share_storage(x, operands[0])):
                self.known.set(x, origin, time)
        return 0

    # -- origins

    def _common_origin(self, args: tuple) -> Origin | None:
        tensors = [x for x in tree_leaves(args) if isinstance(x, Tensor)]
        origins = {self.known.origin(x) for x in tensors if x.is_floating_point()}
        return origins.pop() if len(origins) == 1 else None

    def _time_behind(self, packet: Any, args: tuple, out: Any) -> Time:
        """How the output of the call at hand depends on time."""
        steps, source = self._time
        if packet in ops.FILLED:
            return STILL
        if packet in ops.SUMS and ops.sums_samples(args):
            has_axes = len(args) > 1 and bool(args[1])
            return Time(max(steps // len(args[0]), 1) if has_axes else 1, source)
        if source == IMAGE:
            return Time(max(steps, ops.repetitions(packet, args, out)), source)
        held = steps * ops.repetitions(packet, args, out)
        if packet is ops.aten.repeat and held == self.watch.time_steps:
            return Time(held, source)  # what has accumulated, at every virtual step
        joined = ops.joined_samples(packet, args)
        if source == FROM_NEURONS and steps == 1 < len(joined) == self.watch.loops:
            return Time(len(joined), source)  # the steps of a loop
        return self._time

    # -- rules

    def tally(self, operator: str) -> Tally:
        """Of a call that begins."""
        tally = self.book.entry(self._layer, operator, self._time)
        tally.calls += 1
        return tally

    def _visit(self, func: Any, args: tuple, out: Any) -> Origin | None:
        """Count one call; the origin of its output."""
        packet = func.overloadpacket
        x = ops.first_tensor(args)
        if self._layer in self._hidden:  # see _see_hidden
            return None
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
            self.add_macs('attention', ops.attention_macs(args), x)
            return PRODUCT
        if packet in ops.BATCH_NORMS:
            origin = self.known.origin(x)
            if origin is not None and origin.foldable:
                return PRODUCT
            self.add_macs('norm', first.numel(), x, 'a norm that cannot be folded')
            return REAL
        if packet in ops.OTHER_NORMS:
            self.add_macs('norm', first.numel(), x, 'a norm that cannot be folded')
            return REAL
        if packet in ops.RESIZES:
            if not self._is_outside_layers():
                macs = ops.RESIZES[packet] * first.numel()
                self.add_macs('resize', macs, x, 'interpolates')
            return REAL
        if packet in ops.AVERAGE_POOLS or packet in ops.SUMS:
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
        """Count a sum; sums of spikes are spikes, means are real.

        A norm behind it folds into its weights, all the same, if it reads spikes, and
        into what is in front of it, if that folds.
        """
        is_pool = packet in ops.AVERAGE_POOLS
        if is_pool or not ops.sums_samples(args):
            # over the first axis it decodes time or gathers statistics
            if not self._paused:
                self.add_sum(packet, args, out)
            origin = self.known.origin(args[0])
            is_sum = args[6:7] == (1,) if is_pool else packet is ops.aten.sum
            if origin is not None and origin.kind == 'spikes':
                return origin._replace(foldable=True) if is_sum else PRODUCT
            return PRODUCT if origin == PRODUCT else REAL
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

    def _is_gain(self, x: Any) -> bool:
        """Whether an operand is the same for all samples, as weights are."""
        return not isinstance(x, Tensor) or self.known.time(x).source == CONSTANT

    def _is_activation_product(self, args: tuple, out: Tensor) -> bool:
        return (
            out.is_floating_point()
            and out.dim() > 1  # vectors hold coordinates of boxes
            and not any(self._is_gain(x) for x in args[-2:])
        )

    def _is_outside_layers(self) -> bool:
        """Whether a whole model, not one of its layers, computes: it decodes."""
        return self._layer == '' and hasattr(self.model, 'data_preprocessor')

    # -- what is counted

    def add_dense(self, operator: str, macs: int) -> Tally:
        """Count multiply-accumulates of the call at hand as if all were dense."""
        tally = self.tally(operator)
        tally.macs += macs
        return tally

    def add_macs(self, operator: str, macs: int, x: Tensor, note: str = '') -> None:
        """Count multiplications that ``x`` takes, spikes or not."""
        if self._paused:
            return
        tally = self.add_dense(operator, macs)
        tally.real_macs += macs
        tally.notes.update([note] if note else [])
        self.note_operand(tally, x)

    def note_operand(self, tally: Tally, x: Tensor) -> None:
        """Nothing to note of a shape."""

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
        self._set_input(inputs, REAL)

    def _set_input(self, inputs: Tensor, origin: Origin) -> None:
        if inputs.dim() != 5:
            self.known.set(inputs, origin, Time())
            return
        time = Time(inputs.shape[1], FROM_NEURONS)
        self.known.set(inputs, origin, time, stride=inputs[0, 0].numel())

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what runs inside."""
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            self.known.set(tensor, WEIGHT, STILL)
        self.watch.start()
        handles = [
            module.register_forward_hook(self._see_neuron)
            for module in self.names
            if isinstance(module, NEURONS)
        ]
        handles += [
            module.register_forward_hook(self._see_hidden)
            for module, name in self.names.items()
            if name in self._hidden
        ]
        try:
            parts, layers = self._named_parts(), self._wrapped_layers()
            apart = without_attention_fast_path()
            with parts, layers, apart, DispatchCounterMode([self]):
                yield
            self.watch.end()
            self.book.close_run(self.watch.time_steps, self.watch.loops)
        finally:
            for handle in handles:
                handle.remove()
            self.known.clear()

    def _see_neuron(self, neuron: nn.Module, inputs: tuple, out: Tensor) -> None:
        form = spike_format(neuron, out)
        self.watch.see(neuron, form)
        steps = form.time_steps or 1
        if isinstance(neuron, SpikingNeuron):
            # one neuron after two branches has twice the steps of the model
            steps = min(steps, self.watch.time_steps)
        time = Time(steps, FROM_NEURONS)
        self.known.set(out, Origin('spikes', form.norm), time)
        self.known.unknown = Time(1, FROM_NEURONS)

    def _see_hidden(self, module: nn.Module, inputs: tuple, out: Tensor) -> None:
        x = inputs[0]
        self._layer, self._time = self.names[module], self.known.time(x)
        with _disable_current_modes():
            if hasattr(module, 'weight'):
                self._add_deformable(module.weight.shape, x, out)
                self.known.set(out, PRODUCT, self._time)
                return
            points = max(1, getattr(module, 'sampling_ratio', 0)) ** 2
            macs = 4 * points * out.numel()
            self.add_macs('resize', macs, x, 'interpolates, at least')
            self.known.set(out, REAL, self._time)

    def _add_deformable(self, shape: tuple, x: Tensor, out: Tensor) -> None:
        # every weight of a kernel has a place of its own, between four pixels
        taps = out.numel() // out.shape[1] * prod(shape[2:]) * x.shape[1]
        self.add_macs('resize', 4 * taps, x, 'samples between pixels')
        macs = out.numel() * prod(shape[1:])
        self.add_macs('deformable conv', macs, x, 'deformable')

    @contextmanager
    def _named_parts(self) -> Iterator[None]:
        """Know heads whose ``forward`` is called by hand, as segmentors do.

        What a whole model computes outside of them is decoding.
        """
        parts = {}
        if hasattr(self.model, 'data_preprocessor'):
            for part in self.model.children():
                lists = part if isinstance(part, nn.ModuleList) else [part]
                parts.update((p, p.__dict__.get('forward')) for p in lists)
        try:
            for part in parts:
                part.forward = self._name(part.forward, self.names[part])
            yield
        finally:
            for part, before in parts.items():
                del part.forward
                if before is not None:
                    part.forward = before

    def _name(self, forward: Callable, name: str) -> Callable:
        def wrapper(*args, **kwargs):
            self._parts.append(name)
            try:
                return forward(*args, **kwargs)
            finally:
                self._parts.pop()

        return wrapper

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
            self._layer, self._time = name, self.known.joint_time(operands)
            if not self._paused:
                with _disable_current_modes():
                    self.add_module(module, operands)
            self.known.set(out, PRODUCT, self._time)
            return out

        return wrapper
