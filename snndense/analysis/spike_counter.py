"""Counting what spikes cost while a model runs on real input."""

from math import prod
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from snndense.models.layers import SpikingNeuron
from snndense.models.layers.counting import count_pool_ops

from . import operators as ops
from .counter import OperatorCounter
from .neurons import spike_format
from .origins import REAL, Origin

# how far from an integer a number of spikes may be, for rounding
TOLERANCE = 1e-4
STATE_BYTES = 4  # a membrane is held in float32, whatever the precision around it


class SpikeCounter(OperatorCounter):
    """Synaptic operations and multiply-accumulates, told apart by operand values.

    An operand is taken as spikes if a neuron emitted it. Where nothing is known of it,
    it has to look like spikes: integers from 0 to the largest number of levels, perhaps
    divided by that of a neuron. Whatever a convolution or a product computed is real.

    Args:
        model (nn.Module): The model that runs.

    Attributes:
        state_bytes (int): Membranes read and written.
        first_layers (set): Keys of the tallies that a static image reached before any
            neuron.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        neurons = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
        self.norms = sorted({1, *(neuron.norm for neuron in neurons)})
        self.max_count = max((neuron.levels for neuron in neurons), default=1)
        self.state_bytes = 0
        self.first_layers: set[tuple[str, str]] = set()
        self._is_static = False

    def set_input(self, inputs: Tensor) -> None:
        """Name the tensor that the backbone gets, before it runs.

        Images ``(N, C, H, W)`` are real. Event frames ``(N, T, C, H, W)`` are spikes if
        they are counts; interpolated or normalised ones are real.
        """
        is_events = inputs.dim() == 5
        is_counts = is_events and bool(
            (inputs.ge(0) & (inputs == inputs.round())).all()
        )
        super().set_input(inputs)
        if is_counts:
            self.known.set(inputs, Origin('spikes'), self.known.steps(inputs))
        self._is_static = not is_events

    def counts(self, x: Tensor) -> Optional[Tensor]:
        """Spikes per element, integers in at least float32; None for real values."""
        origin = self.known.origin(x)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if origin is not None:
            return (x * origin.norm).round() if origin.kind == 'spikes' else None
        if x.numel() == 0:
            return x
        for norm in self.norms:
            scaled = x * norm
            counts = scaled.round()
            if (
                counts.amin() >= 0
                and counts.amax() <= self.max_count
                and (scaled - counts).abs().amax() <= TOLERANCE
            ):
                return counts
        return None

    def add_product(self, product: ops.Product) -> None:
        operator = self._operator(product)
        tally = self.add_dense(operator, product.macs)
        found = [(o, self.counts(o.tensor)) for o in product.operands]
        spiking = [
            (o.replay(counts), counts) for o, counts in found if counts is not None
        ]
        if spiking:
            uses, counts = min(spiking, key=lambda pair: pair[0])
            num_spikes = ops.total(counts)
            tally.sops += uses
            tally.sops_rate += num_spikes / max(counts.numel(), 1) * product.macs
            tally.spikes += num_spikes
            tally.elements += counts.numel()
            if len(spiking) == 2:
                tally.coincidences += ops.coincidences(
                    *(counts for _, counts in spiking)
                )
        else:
            uses = product.macs
            tally.real_macs += uses
            if self._is_static:
                self.first_layers.add((self._layer, operator))
        weights = [o.tensor for o in product.operands if self.known.is_weight(o.tensor)]
        for weight in weights if product.weight is None else [product.weight]:
            tally.weight_bytes += uses * weight.element_size()
        tally.bias_bytes += product.bias_bytes

    def add_module(self, module: nn.Module, operands: list[Tensor]) -> None:
        found = [self.counts(x) for x in operands]
        dense = module.count_macs(*operands)
        if any(counts is None for counts in found):
            for operator, macs in dense.items():
                self.add_macs(operator, macs)
            return
        for operator, counted in module.count_ops(*found).items():
            tally = self.add_dense(operator, dense[operator])
            tally.sops += counted.sops
            tally.sops_rate += counted.mean_count * counted.macs
            tally.weight_bytes += counted.weight_bytes
            # all that is needed of them is their ratio
            tally.spikes += round(counted.mean_count * found[0].numel())
            tally.elements += found[0].numel()

    def add_elementwise(self, operands: tuple, out: Tensor) -> Origin:
        found = [self.counts(x) for x in operands]
        spiking = [counts for counts in found if counts is not None]
        tally = self.add_dense('elementwise', out.numel())
        if not spiking:
            tally.real_macs += out.numel()
            return REAL
        meetings = ops.total(torch.broadcast_to(spiking[0] * spiking[-1], out.shape))
        if len(spiking) == 1:
            tally.gates += ops.total(torch.broadcast_to(spiking[0], out.shape))
            return REAL
        if min(counts.amax() for counts in spiking) <= 1:
            tally.gates += meetings
        else:
            tally.sops += meetings
            tally.sops_rate += meetings
        norms = [origin.norm for x in operands if (origin := self.known.origin(x))]
        return Origin('spikes', prod(norms)) if len(norms) == 2 else None

    def add_sum(self, packet: Any, args: tuple, out: Tensor) -> None:
        x = args[0]
        origin = self.known.origin(x)
        is_pool = packet not in ops.SUMS
        if origin is None or origin.kind != 'spikes':
            if is_pool:
                self.tally('pool').adds += x.numel()
            return
        counts = self.counts(x)
        sops = ops.total(counts)
        if packet is ops.aten.avg_pool2d:
            names = ('kernel_size', 'stride', 'padding', 'ceil_mode')
            sops = count_pool_ops(counts, **dict(zip(names, args[1:5], strict=False)))
        tally = self.tally('pool' if is_pool else 'sum')
        tally.sops += sops
        tally.sops_rate += sops
        tally.spikes += ops.total(counts)
        tally.elements += counts.numel()

    def see_max_pool(self, x: Tensor) -> None:
        origin = self.known.origin(x)
        is_spiking = origin is not None and origin.kind == 'spikes'
        if is_spiking and self.counts(x).amax() > 1:
            self.tally('max pool').notes.add('compares integers: no logical OR')

    def _see_neuron(self, neuron: nn.Module, inputs: tuple, out: Tensor) -> None:
        super()._see_neuron(neuron, inputs, out)
        self._is_static = False
        form = spike_format(neuron, out)
        if isinstance(neuron, SpikingNeuron):
            # an integer runs as so many binary steps
            self.state_bytes += 2 * STATE_BYTES * out.numel() * form.levels
            return
        with _disable_current_modes():
            memories = [m for m in neuron.memories() if isinstance(m, Tensor)]
        size = sum(m.numel() * m.element_size() for m in memories)
        self.state_bytes += 2 * size * (form.time_steps or 1)
