"""Counting what spikes cost while a model runs on real input."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from snndense.models.layers import SpikingNeuron

from . import operators as ops
from .counter import OperatorCounter
from .neurons import NEURONS, levels_of, spike_format
from .origins import NEURONS as FROM_NEURONS
from .origins import REAL, Origin
from .tallies import Tally

# how far from an integer a number of spikes may be, for rounding
TOLERANCE = 1e-4
STATE_BYTES = 4  # a membrane is held in float32, whatever the precision around it


class SpikeCounter(OperatorCounter):
    """Synaptic operations and multiply-accumulates, told apart by operand values.

    An operand is taken as spikes if a neuron emitted it. Where nothing is known of it,
    it has to look like spikes: integers from 0 to the largest number of levels, perhaps
    divided by that of a neuron. Whatever a convolution or a product computed is real,
    and so is everything in a network without neurons that gets no event counts.

    Args:
        model (nn.Module): The model that runs.

    Attributes:
        has_neurons (bool): Whether the model has any.
        state_bytes (int): Membranes read and written.
        neuron_ops (int): Updates of them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        neurons = [m for m in model.modules() if isinstance(m, NEURONS)]
        self.has_neurons = bool(neurons)
        self.norms = sorted({1, *(getattr(neuron, 'norm', 1) for neuron in neurons)})
        self.max_count = max(map(levels_of, neurons), default=1)
        self.state_bytes = self.neuron_ops = 0
        self._has_spikes = self.has_neurons  # else none, or those of its input

    def set_input(self, inputs: Tensor) -> None:
        """Name the tensor that the backbone gets, before it runs.

        Images ``(N, C, H, W)`` are real. Event frames ``(N, T, C, H, W)`` are spikes if
        they are counts; interpolated or normalised ones are real.
        """
        is_events = inputs.dim() == 5
        is_counts = is_events and bool(
            (inputs.ge(0) & (inputs == inputs.round())).all()
        )
        self._has_spikes = self.has_neurons or is_counts
        self._set_input(inputs, Origin('spikes') if is_counts else REAL)

    def counts(self, x: Tensor) -> Tensor | None:
        """Spikes per element, integers in at least float32; None for real values."""
        origin = self.known.origin(x)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if origin is not None:
            return (x * origin.norm).round() if origin.kind == 'spikes' else None
        if not self._has_spikes:
            return None
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

    def note_operand(self, tally: Tally, x: Tensor) -> None:
        if self.known.origin(x) is None or (counts := self.counts(x)) is None:
            tally.reads.add('real')
        else:
            self._note_spikes(tally, ops.total(counts), counts.numel())

    def _note_spikes(self, tally: Tally, spikes: int, elements: int) -> None:
        tally.reads.add('spikes')
        tally.spikes += spikes
        tally.elements += elements

    def add_product(self, product: ops.Product) -> None:
        operator = self._operator(product)
        found = [(o, self.counts(o.tensor)) for o in product.operands]
        spiking = [(o, counts) for o, counts in found if counts is not None]
        if spiking:  # whatever emitted them is a neuron
            self._time = self._time._replace(source=FROM_NEURONS)
        tally = self.add_dense(operator, product.macs)
        if len(spiking) == 2:
            uses = self._add_cheaper(tally, spiking)
        elif spiking:
            ((operand, counts),) = spiking
            uses, num_spikes = ops.total(operand.replay(counts)), ops.total(counts)
            tally.sops_rate += num_spikes / max(counts.numel(), 1) * product.macs
            self._note_spikes(tally, num_spikes, counts.numel())
        else:
            uses = product.macs
            tally.real_macs += uses
            tally.reads.add('real')
        tally.sops += uses if spiking else 0
        weights = [o.tensor for o in product.operands if self.known.is_weight(o.tensor)]
        for weight in weights if product.weight is None else [product.weight]:
            tally.weight_bytes += uses * weight.element_size()
        tally.bias_bytes += product.bias_bytes

    def _add_cheaper(self, tally: Tally, spiking: list) -> int:
        """Count a product of spikes: of each pair of matrices the cheaper side.

        Returns:
            int: Additions.
        """
        (a, b), (counts_a, counts_b) = zip(*spiking, strict=True)
        uses_a, uses_b = a.replay(counts_a), b.replay(counts_b)
        takes_a = uses_a <= uses_b
        uses = ops.total(torch.where(takes_a, uses_a, uses_b))
        spikes = torch.where(takes_a, ops.totals(counts_a), ops.totals(counts_b))
        sizes = prod(counts_a.shape[-2:]), prod(counts_b.shape[-2:])
        num_a = int(takes_a.sum())
        elements = num_a * sizes[0] + (len(takes_a) - num_a) * sizes[1]
        self._note_spikes(tally, ops.total(spikes), elements)
        tally.sops_rate += uses  # no borders, so that mean counts say the same
        tally.coincidences += ops.coincidences(counts_a, counts_b)
        return uses

    def add_module(self, module: nn.Module, operands: list[Tensor]) -> None:
        found = [self.counts(x) for x in operands]
        dense = module.count_macs(*operands)
        if any(counts is None for counts in found):
            for operator, macs in dense.items():
                self.add_macs(operator, macs, operands[0])
            return
        for operator, counted in module.count_ops(*found).items():
            tally = self.add_dense(operator, dense[operator])
            tally.sops += counted.sops
            tally.sops_rate += counted.mean_count * counted.macs
            tally.weight_bytes += counted.weight_bytes
            # all that is needed of them is their ratio
            elements = found[0].numel()
            spikes = round(counted.mean_count * elements)
            self._note_spikes(tally, spikes, elements)

    def add_elementwise(self, operands: tuple, out: Tensor) -> Origin:
        found = [self.counts(x) for x in operands]
        spiking = [counts for counts in found if counts is not None]
        tally = self.add_dense('elementwise', out.numel())
        tally.reads.update(['real'] if len(spiking) < 2 else [])
        tally.reads.update(['spikes'] if spiking else [])
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
        is_pool = packet in ops.AVERAGE_POOLS
        if origin is None or origin.kind != 'spikes':
            if is_pool:
                tally = self.tally('pool')
                tally.adds += ops.pool_ops(packet, args, torch.ones_like(x))
                tally.reads.add('real')
            return
        counts = self.counts(x)
        num_spikes = sops = ops.total(counts)
        if is_pool:
            sops = ops.pool_ops(packet, args, counts)
        tally = self.tally('pool' if is_pool else 'sum')
        tally.sops += sops
        tally.sops_rate += sops
        self._note_spikes(tally, num_spikes, counts.numel())

    def see_max_pool(self, x: Tensor) -> None:
        origin = self.known.origin(x)
        is_spiking = origin is not None and origin.kind == 'spikes'
        if is_spiking and x.numel() and self.counts(x).amax() > 1:
            self.tally('max pool').notes.add('compares integers: no logical OR')

    def _see_neuron(self, neuron: nn.Module, inputs: tuple, out: Tensor) -> None:
        super()._see_neuron(neuron, inputs, out)
        form = spike_format(neuron, out)
        # an integer runs as so many binary steps
        self.neuron_ops += out.numel() * form.levels
        if isinstance(neuron, SpikingNeuron):
            self.state_bytes += 2 * STATE_BYTES * out.numel() * form.levels
            return
        with _disable_current_modes():
            memories = [m for m in neuron.memories() if isinstance(m, Tensor)]
        size = sum(m.numel() * m.element_size() for m in memories)
        self.state_bytes += 2 * size * (form.time_steps or 1) * form.levels
