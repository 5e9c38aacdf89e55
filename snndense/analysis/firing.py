"""How often neurons fire: rates, silence and saturation, layer by layer.

For a neuron with D levels that emits ``n / norm``, n from 0 to D (binary: D = 1)::

    mean count        mean of n over steps, samples and positions
    firing rate       mean count / D: the rate of the D binary steps that n stands for
    active share      share of n > 0
    silent share      neurons that fire at no step of no sample
    saturated share   neurons that emit D at every step of every sample
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from snndense.models.layers import SpikingNeuron, unfold_time
from snndense.utils.tables import write_csv

from .evaluation import evaluation, preprocess, reset_states
from .neurons import find_neurons, spike_format


@dataclass(frozen=True)
class LayerFiring:
    """How the neurons of one layer fire.

    Attributes:
        name (str): Name of the neuron module in the model.
        kind (str): Its class.
        levels (int): Most spikes of one step, D.
        time_steps (int): T.
        values (int): Values that it emitted in all, steps counted one by one.
        mean_count (float): Spikes per neuron and step.
        firing_rate (float): ``mean_count / levels``.
        active_share (float): Share of emitted values that are not 0.
        spikes_per_image (float): Spikes of all steps, per image.
        silent_share (float, optional): Neurons that never fired. None where neurons
            cannot be told apart from one call to the next: maps of different sizes,
            layers that are called several times, regions of interest.
        saturated_share (float, optional): Neurons that always emitted D; None as above.
        silent_channels (float, optional): Channels of which no neuron ever fired.
        per_step (tuple[float]): Firing rate of every step.
        histogram (tuple[float]): Share of the counts 0 to D.
    """

    name: str
    kind: str
    levels: int
    time_steps: int
    values: int
    mean_count: float
    firing_rate: float
    active_share: float
    spikes_per_image: float
    silent_share: Optional[float]
    saturated_share: Optional[float]
    silent_channels: Optional[float]
    per_step: tuple[float, ...]
    histogram: tuple[float, ...]


@dataclass(frozen=True)
class FiringReport:
    """How all spiking layers of a model fire.

    Attributes:
        layers (tuple[LayerFiring]): In the order of the model's modules; layers that
            were never called are left out.
        num_images (int): Images that were looked at.
    """

    layers: tuple[LayerFiring, ...]
    num_images: int

    @property
    def firing_rate(self) -> float:
        """Mean over all neurons and steps: large layers weigh more."""
        values = sum(layer.values for layer in self.layers)
        total = sum(layer.firing_rate * layer.values for layer in self.layers)
        return total / max(values, 1)

    @property
    def mean_layer_rate(self) -> float:
        """Mean over layers, each with the same weight, as some papers print."""
        rates = [layer.firing_rate for layer in self.layers]
        return sum(rates) / max(len(rates), 1)

    def dead_layers(self, max_rate: float = 0.0) -> list[str]:
        """Names of layers whose firing rate is not above ``max_rate``."""
        return [x.name for x in self.layers if x.firing_rate <= max_rate]

    def as_dict(self) -> dict:
        """For JSON."""
        return dict(
            num_images=self.num_images,
            firing_rate=self.firing_rate,
            mean_layer_rate=self.mean_layer_rate,
            layers=[asdict(layer) for layer in self.layers],
        )


class _Seen:
    """Which of the places of a layer have fired, and which have ever been below D."""

    def __init__(self) -> None:
        self.fired: Optional[Tensor] = None
        self.unsaturated: Optional[Tensor] = None
        self.is_lost = False  # places of one call are not those of another

    def update(self, counts: Tensor, levels: int) -> None:
        """``counts``: observations first, then the places."""
        if self.is_lost:
            return
        fired, unsaturated = (counts > 0).any(0), (counts < levels).any(0)
        if self.fired is None:
            self.fired, self.unsaturated = fired, unsaturated
        elif self.fired.shape != fired.shape:
            self.lose()
        else:
            self.fired |= fired
            self.unsaturated |= unsaturated

    def lose(self) -> None:
        self.is_lost, self.fired, self.unsaturated = True, None, None

    def reduce(self, shapes: list) -> None:
        """Join what all processes have seen; ``shapes``: theirs."""
        if len(set(shapes)) > 1 or shapes[0] is None:
            self.lose()
            return
        for seen in (self.fired, self.unsaturated):
            total = seen.to(torch.uint8)
            all_reduce(total, 'max')
            seen.copy_(total)

    @property
    def shape(self) -> Optional[tuple]:
        return None if self.fired is None else tuple(self.fired.shape)

    def silent(self) -> Optional[float]:
        return None if self.fired is None else 1 - self.fired.double().mean().item()

    def saturated(self) -> Optional[float]:
        if self.unsaturated is None:
            return None
        return 1 - self.unsaturated.double().mean().item()


class _LayerMeter:
    """Running statistics of one layer; their size does not depend on the data."""

    def __init__(self, name: str, neuron: nn.Module) -> None:
        self.name = name
        self.kind = type(neuron).__name__
        self.levels = self.time_steps = 0
        self.totals: Optional[Tensor] = None  # spikes per step, values per step, counts
        self.neurons, self.channels = _Seen(), _Seen()

    def update(self, neuron: nn.Module, out: Tensor, batch_size: int) -> None:
        form = spike_format(neuron, out)
        steps = form.time_steps or 1
        counts = out.detach()
        if form.norm != 1:
            counts = (counts * form.norm).round_()
        if isinstance(neuron, SpikingNeuron):
            counts = unfold_time(counts, steps)  # (T, N, ...)
        elif form.time_steps is None:
            counts = counts[None]
        totals = self._sum(counts, form.levels)
        if self.totals is None:
            self.levels, self.time_steps, self.totals = form.levels, steps, totals
        elif self.totals.shape == totals.shape:
            self.totals += totals
        else:  # a neuron of another number of steps since the last call
            raise ValueError(
                f'{self.name} changed its time steps or levels while it was measured'
            )
        self._look(counts, form.levels, batch_size)

    @staticmethod
    def _sum(counts: Tensor, levels: int) -> Tensor:
        flat = counts.flatten(1)
        spikes = flat.sum(1, dtype=torch.float64)
        values = torch.full_like(spikes, flat.shape[1])
        # the share of 0 follows from the others
        levels_seen = [(flat == n).sum() for n in range(1, levels + 1)]
        histogram = torch.stack([values.sum() - sum(levels_seen), *levels_seen])
        return torch.cat((spikes, values, histogram.to(torch.float64)))

    def _look(self, counts: Tensor, levels: int, batch_size: int) -> None:
        if counts.numel() == 0:
            return
        is_image = counts.shape[1] == batch_size
        if is_image:
            self.neurons.update(counts.flatten(0, 1), levels)
        else:  # regions of interest, blocks of an attention map
            self.neurons.lose()
        axes = counts.dim()
        if axes in (3, 5) or is_image:  # (T, N, C, H, W), else channels last
            channels = counts.movedim(2 if axes == 5 else -1, -1)
            self.channels.update(channels.flatten(0, -2), levels)
        else:
            self.channels.lose()

    def reduce(self) -> None:
        mine = (self.levels, self.time_steps, self.neurons.shape, self.channels.shape)
        states = all_gather_object(mine)
        called = [state for state in states if state[0]]
        if not called:
            return
        self.levels, self.time_steps = called[0][:2]
        if self.totals is None:  # a layer that only other processes called
            self.totals = torch.zeros(2 * self.time_steps + self.levels + 1).double()
        all_reduce(self.totals)
        self.neurons.reduce([state[2] for state in states])
        self.channels.reduce([state[3] for state in states])

    def report(self, num_images: int) -> LayerFiring:
        steps = self.time_steps
        spikes, values, histogram = (
            part.tolist() for part in self.totals.split((steps, steps, self.levels + 1))
        )
        num_values, num_spikes = sum(values), sum(spikes)
        mean_count = num_spikes / max(num_values, 1)
        return LayerFiring(
            name=self.name,
            kind=self.kind,
            levels=self.levels,
            time_steps=steps,
            values=round(num_values),
            mean_count=mean_count,
            firing_rate=mean_count / self.levels,
            active_share=sum(histogram[1:]) / max(num_values, 1),
            spikes_per_image=num_spikes / max(num_images, 1),
            silent_share=self.neurons.silent(),
            saturated_share=self.neurons.saturated(),
            silent_channels=self.channels.silent(),
            per_step=tuple(
                s / max(v, 1) / self.levels for s, v in zip(spikes, values, strict=True)
            ),
            histogram=tuple(h / max(num_values, 1) for h in histogram),
        )


class FiringMeter:
    """Watches every neuron of a model while it is attached, or its context entered.

    Statistics are added up as the model runs and stay on its device; their size does
    not depend on the number of images. Recomputation in a backward pass (gradient
    checkpointing) is not seen twice.

    Args:
        model (nn.Module): Its neurons are ours or spikingjelly's.

    Raises:
        ValueError: If the model has no neuron.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.num_images = 0
        self._meters = {
            neuron: _LayerMeter(name, neuron)
            for name, neuron in find_neurons(model).items()
        }
        self._batch_size = 0
        self._handles: list = []

    def attach(self) -> None:
        """Watch from now on, until :meth:`detach`."""
        self._handles = [
            self.model.register_forward_pre_hook(self._start, with_kwargs=True),
            *(neuron.register_forward_hook(self._see) for neuron in self._meters),
        ]

    def detach(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> 'FiringMeter':
        self.attach()
        return self

    def __exit__(self, *error) -> None:
        self.detach()

    def _start(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        inputs = args[0] if args else kwargs.get('inputs')
        self._batch_size = len(inputs)
        self.num_images += self._batch_size

    def _see(self, neuron: nn.Module, inputs: tuple, out: Tensor) -> None:
        if torch._C._current_graph_task_id() != -1:  # recomputed in a backward pass
            return
        # an operator counter around the model has no business here
        with torch.no_grad(), _disable_current_modes():
            self._meters[neuron].update(neuron, out, self._batch_size)

    def reduce(self) -> None:
        """Add up the statistics of all processes of a distributed run, once."""
        if get_world_size() == 1:
            return
        for meter in self._meters.values():
            meter.reduce()
        self.num_images = sum(all_gather_object(self.num_images))

    def report(self) -> FiringReport:
        """Statistics so far."""
        meters = [m for m in self._meters.values() if m.totals is not None]
        layers = tuple(meter.report(self.num_images) for meter in meters)
        return FiringReport(layers, self.num_images)


def measure_firing(
    model: nn.Module,
    batches: Iterable,
    *,
    on_batch: Callable[[], None] = lambda: None,
) -> FiringReport:
    """Run a model in evaluation and report how its neurons fire.

    In a distributed run every process takes batches of its own, and all get the report
    of all.

    Args:
        model (nn.Module): A whole model with a data preprocessor, or a backbone.
        batches (Iterable): Of a whole model: what a data loader yields; of a backbone:
            tensors.
        on_batch (Callable): Called after every batch.

    Raises:
        ValueError: If the model has no neuron, or there are no batches.
    """
    with evaluation(model), torch.no_grad(), FiringMeter(model) as meter:
        for batch in batches:
            reset_states(model)
            run_batch(model, batch)
            on_batch()
    meter.reduce()
    report = meter.report()
    if not report.num_images:
        raise ValueError('expected at least one batch of images, but got none')
    return report


def run_batch(model: nn.Module, batch: dict | Tensor) -> object:
    """Evaluate one batch: through the data preprocessor, where there is one."""
    inputs, samples = preprocess(model, batch)
    if samples is None:
        return model(inputs)
    return model(inputs, samples, mode='predict')


def write_firing_csv(report: FiringReport, path: str | Path) -> None:
    """Write one row per layer; rates of steps and shares of counts have a column each.

    Layers with fewer steps or levels than others leave the rest of them empty.
    """
    rows = [asdict(layer) for layer in report.layers]
    steps = max((len(row['per_step']) for row in rows), default=0)
    levels = max((len(row['histogram']) for row in rows), default=0)
    for row in rows:
        for name, prefix, count in (
            ('per_step', 'rate_step', steps),
            ('histogram', 'share_of', levels),
        ):
            values = row.pop(name)
            padded = [*values, *[''] * (count - len(values))]
            row.update({f'{prefix}_{i}': value for i, value in enumerate(padded)})
    write_csv(path, rows)
