"""What a spiking model computes, and what that costs in arithmetic.

::

    E = mac_pj * MAC + ac_pj * SOP                     # per image, all steps included

A synaptic operation (SOP) is the addition of one weight that one spike causes; a
multiply-accumulate (MAC) is counted where a layer reads real values. An integer n of 0
to D stands for n binary spikes. Which is which is seen in the values, not in the names
of layers. Formulas and sources: docs/energy.md.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from spikingjelly.activation_based.op_counter import SimpleEnergyCostConfig
from torch import Tensor, nn

from snndense.utils.tables import format_shape

from .evaluation import evaluation, preprocess, reset_states
from .firing import FiringReport
from .firing_meter import FiringMeter
from .macs import num_params
from .spike_counter import SpikeCounter
from .stages import stage_namer, sum_by_stage
from .tallies import Tally

FIRST_LAYER = ('once', 'per_step')
MJ_PER_PJ = 1e-9


@dataclass(frozen=True)
class EnergyTable:
    """Energy of single operations.

    Attributes:
        name (str): How a report calls it.
        mac_pj (float): A multiply-accumulate, in pJ.
        ac_pj (float): An addition (accumulate), in pJ.
        memory_pj_per_byte (float): A byte read or written, in pJ.
        source (str): Where the numbers are from.

    Raises:
        ValueError: For an energy that is negative or no number.
    """

    name: str
    mac_pj: float
    ac_pj: float
    memory_pj_per_byte: float = SimpleEnergyCostConfig().e_memory_pj_per_byte
    source: str = 'given by the user'

    def __post_init__(self) -> None:
        for entry in ('mac_pj', 'ac_pj', 'memory_pj_per_byte'):
            energy = getattr(self, entry)
            is_number = isinstance(energy, int | float) and not isinstance(energy, bool)
            if not is_number or not energy >= 0:
                raise ValueError(
                    f'expected {entry} of the energy table {self.name!r} to be a '
                    f'number of pJ that is not negative, but got {energy!r}'
                )


def _preset(name: str, costs: SimpleEnergyCostConfig) -> EnergyTable:
    return EnergyTable(
        name,
        costs.e_mac_pj,
        costs.e_ac_pj,
        costs.e_memory_pj_per_byte,
        '45 nm, M. Horowitz, ISSCC 2014',
    )


TABLES = {
    name: _preset(name, getattr(SimpleEnergyCostConfig, precision)())
    for name, precision in (
        ('45nm_fp32', 'fp32'),
        ('45nm_fp16', 'fp16'),
        ('45nm_int8', 'int8'),
    )
}


def get_table(table: str | EnergyTable) -> EnergyTable:
    """A table by its name, or from a JSON file with ``mac_pj`` and ``ac_pj``.

    Raises:
        FileNotFoundError: If it is neither a preset nor a file.
        ValueError: If the file does not hold such a table.
    """
    if isinstance(table, EnergyTable):
        return table
    if table in TABLES:
        return TABLES[table]
    if not Path(table).is_file():
        raise FileNotFoundError(
            f'expected an energy table of {tuple(TABLES)}, or a JSON file with mac_pj '
            f'and ac_pj, but got {table!r}'
        )
    try:
        entries = json.loads(Path(table).read_text())
        return EnergyTable(**{'name': Path(table).stem, **entries})
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f'expected {table} to hold a JSON object with mac_pj, ac_pj and perhaps '
            f'memory_pj_per_byte, name and source: {error}'
        ) from error


@dataclass(frozen=True)
class LayerEnergy:
    """What one operator of one layer costs, per image and with all steps.

    Attributes:
        name (str): Name of the layer in the model.
        operator (str): ``'conv'``, ``'linear'``, ``'matmul'``, ``'norm'``, ...
        stage (str): Part of the model that it is in.
        reads (str): ``'spikes'``, ``'real'``, or ``'both'`` where calls, or the two
            operands of an elementwise product, differ.
        mean_count (float): Spikes per element and step of what it reads.
        dense_macs (float): Multiply-accumulates if it read real values only.
        macs (float): Those where it did.
        sops (float): Additions caused by spikes, exact.
        sops_rate (float): The same by mean count times dense operations.
        coincidences (float): Pairs of spikes that meet, in a product of spikes.
        gates (float): Values that spikes let pass.
        adds (float): Additions of real values in a pooling; not in the energy.
        mac_mj (float): Energy of ``macs``, in mJ.
        ac_mj (float): Energy of ``sops``, in mJ.
        notes (str): What to know about it.
    """

    name: str
    operator: str
    stage: str
    reads: str
    mean_count: float
    dense_macs: float
    macs: float
    sops: float
    sops_rate: float
    coincidences: float
    gates: float
    adds: float
    mac_mj: float
    ac_mj: float
    notes: str

    @property
    def energy_mj(self) -> float:
        """Energy of arithmetic, in mJ."""
        return self.mac_mj + self.ac_mj

    def as_dict(self) -> dict:
        """For JSON and CSV."""
        fields = asdict(self)
        notes = fields.pop('notes')
        return dict(fields, energy_mj=self.energy_mj, notes=notes)


@dataclass(frozen=True)
class EnergyReport:
    """What a model costs, per image and with all steps.

    Attributes:
        layers (tuple[LayerEnergy]): In order of execution.
        table (EnergyTable): Energy of single operations.
        first_layer (str): ``'once'`` or ``'per_step'``.
        params (int): Parameters.
        time_steps, levels (int): T of the model and largest D of its neurons.
        num_images (int): Images that were looked at.
        input_shapes (dict[tuple[int, ...], int]): Shapes of the input without its first
            axis, and how many images had each.
        ann_macs (float): Dense multiply-accumulates of one step: of the same network
            without spikes, on the same images.
        weight_bytes, bias_bytes, state_bytes (float): Memory traffic.
        neuron_ops (float): Updates of membranes at all T x D steps, each an addition,
            and a multiplication if it leaks; not in the energy.
        firing (FiringReport, optional): Of the same images; None without neurons.
        uncounted (dict[str, int]): Operators that no rule covers, and their calls.
    """

    layers: tuple[LayerEnergy, ...]
    table: EnergyTable
    first_layer: str
    params: int
    time_steps: int
    levels: int
    num_images: int
    input_shapes: dict[tuple[int, ...], int]
    ann_macs: float
    weight_bytes: float
    bias_bytes: float
    state_bytes: float
    neuron_ops: float
    firing: FiringReport | None
    uncounted: dict[str, int]

    @property
    def formats(self) -> tuple[tuple[int, int], ...]:
        """(T, D) of the layers of neurons, every pair that occurs."""
        if self.firing is None:
            return ()
        # one neuron after two branches has twice the steps of the model
        layers = self.firing.layers
        pairs = ((min(x.time_steps, self.time_steps), x.levels) for x in layers)
        return tuple(dict.fromkeys(pairs))

    def _sum(self, column: str) -> float:
        return sum(getattr(layer, column) for layer in self.layers)

    @property
    def macs(self) -> float:
        """Multiply-accumulates of real values."""
        return self._sum('macs')

    @property
    def sops(self) -> float:
        """Synaptic operations, exact."""
        return self._sum('sops')

    @property
    def sops_rate(self) -> float:
        """Synaptic operations by mean rates, as most papers count."""
        return self._sum('sops_rate')

    @property
    def compute_mj(self) -> float:
        """Energy of arithmetic, in mJ."""
        return self._sum('energy_mj')

    @property
    def ann_mj(self) -> float:
        """Energy of arithmetic of the same network without spikes, in mJ."""
        return self.table.mac_pj * self.ann_macs * MJ_PER_PJ

    @property
    def memory_bytes(self) -> float:
        """Bytes of weights, biases and membranes read and written."""
        return self.weight_bytes + self.bias_bytes + self.state_bytes

    @property
    def memory_mj(self) -> float:
        """Energy of memory traffic, in mJ; no part of ``compute_mj``."""
        return self.table.memory_pj_per_byte * self.memory_bytes * MJ_PER_PJ

    def stages(self) -> dict[str, dict[str, float]]:
        """Sums per part of the model."""
        operations = ('dense_macs', 'macs', 'sops', 'sops_rate')
        energies = ('mac_mj', 'ac_mj', 'energy_mj')
        return sum_by_stage(self.layers, *operations, *energies)

    def as_dict(self) -> dict:
        """For JSON."""
        totals = ('macs', 'sops', 'sops_rate', 'compute_mj', 'ann_mj')
        totals += ('memory_bytes', 'memory_mj')
        shapes = self.input_shapes.items()
        return {
            **{name: getattr(self, name) for name in totals},
            **asdict(self),
            'layers': [layer.as_dict() for layer in self.layers],
            'input_shapes': {format_shape(shape): n for shape, n in shapes},
            'firing': self.firing.as_dict() if self.firing else None,
            'stages': self.stages(),
        }


def measure_energy(
    model: nn.Module,
    batches: Iterable,
    *,
    table: str | EnergyTable = '45nm_fp32',
    first_layer: str = 'once',
    on_batch: Callable[[], None] = lambda: None,
) -> EnergyReport:
    """Run a model in evaluation and count what its spikes and its real values cost.

    Args:
        model (nn.Module): A whole model with a data preprocessor, or a backbone. One
            without neurons is a usual network, whose layers all multiply.
        batches (Iterable): Of a whole model: what a data loader yields; of a backbone:
            tensors.
        table (str | EnergyTable): See :func:`get_table`. Defaults to ``'45nm_fp32'``.
        first_layer (str): Whether layers in front of the first neuron count once for an
            image that is the same at all steps, as they are computed here, or
            ``'per_step'``. Defaults to ``'once'``.
        on_batch (Callable): Called after every batch.

    Raises:
        ValueError: For an unknown ``first_layer`` or table, or without batches.
    """
    table = get_table(table)
    if first_layer not in FIRST_LAYER:
        raise ValueError(
            f'expected first_layer in {FIRST_LAYER}, but got {first_layer=}'
        )
    counter, shapes = SpikeCounter(model), Counter()
    meter = FiringMeter(model) if counter.has_neurons else None
    with evaluation(model):
        for batch in batches:
            inputs, samples = preprocess(model, batch)
            shapes[tuple(inputs.shape[1:])] += len(inputs)
            _count_batch(model, counter, meter, inputs, samples)
            on_batch()
    if not shapes:
        raise ValueError('expected at least one batch of images, but got none')
    return _report(model, counter, meter, shapes, table=table, first_layer=first_layer)


def _count_batch(
    model: nn.Module,
    counter: SpikeCounter,
    meter: FiringMeter | None,
    inputs: Tensor,
    samples: list | None,
) -> None:
    args = (inputs,) if samples is None else (inputs, samples)
    kwargs = {} if samples is None else dict(mode='predict')
    reset_states(model)
    with meter or nullcontext(), torch.no_grad(), counter.counting():
        counter.set_input(inputs)
        model(*args, **kwargs)


def _report(
    model: nn.Module,
    counter: SpikeCounter,
    meter: FiringMeter | None,
    shapes: Counter,
    *,
    table: EnergyTable,
    first_layer: str,
) -> EnergyReport:
    num_images = sum(shapes.values())
    tallies = counter.book.tallies.values()
    firing = meter.report() if meter else None
    levels = [layer.levels for layer in firing.layers] if firing else []
    return EnergyReport(
        layers=_layers(model, counter, table, first_layer, num_images),
        table=table,
        first_layer=first_layer,
        params=num_params(model),
        time_steps=counter.watch.time_steps,
        levels=max(levels, default=1),
        num_images=num_images,
        input_shapes=dict(shapes),
        ann_macs=sum(t.step_macs for t in tallies) / num_images,
        weight_bytes=sum(t.weight_bytes for t in tallies) / num_images,
        bias_bytes=sum(t.bias_bytes for t in tallies) / num_images,
        state_bytes=counter.state_bytes / num_images,
        neuron_ops=counter.neuron_ops / num_images,
        firing=firing,
        uncounted={k: v for k, v in counter.uncounted.items() if v},
    )


def _layers(
    model: nn.Module,
    counter: SpikeCounter,
    table: EnergyTable,
    first_layer: str,
    num_images: int,
) -> tuple[LayerEnergy, ...]:
    stage_of = stage_namer(model)
    repeated = counter.watch.time_steps - 1 if first_layer == 'per_step' else 0

    def layer(name: str, operator: str, tally: Tally) -> LayerEnergy:
        macs = (tally.real_macs + repeated * tally.first_macs) / num_images
        sops = tally.sops / num_images
        is_first = tally.first_macs > 0 and counter.has_neurons
        notes = sorted(tally.notes) + ['before any neuron'] * is_first
        return LayerEnergy(
            name=name,
            operator=operator,
            stage=stage_of(name),
            reads='both' if len(tally.reads) > 1 else next(iter(tally.reads), 'real'),
            mean_count=tally.spikes / max(tally.elements, 1),
            dense_macs=(tally.macs + repeated * tally.first_macs) / num_images,
            macs=macs,
            sops=sops,
            sops_rate=tally.sops_rate / num_images,
            coincidences=tally.coincidences / num_images,
            gates=tally.gates / num_images,
            adds=tally.adds / num_images,
            mac_mj=table.mac_pj * macs * MJ_PER_PJ,
            ac_mj=table.ac_pj * sops * MJ_PER_PJ,
            notes='; '.join(notes),
        )

    return tuple(
        layer(name, operator, tally)
        for (name, operator), tally in counter.book.tallies.items()
    )
