"""Watching neurons while a model runs."""

from collections.abc import Callable, Iterable

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from snndense.models.layers import SpikingNeuron, unfold_time

from .evaluation import evaluation, preprocess, reset_states
from .firing import FiringReport, LayerFiring, StepFiring
from .neurons import find_neurons, spike_format


def _grow(x: Tensor, steps: int) -> Tensor:
    """Append empty steps: ``(t, ...) -> (T, ...)``."""
    missing = steps - len(x)
    return torch.cat((x, x.new_zeros(missing, *x.shape[1:]))) if missing > 0 else x


class _Seen:
    """Which of the places of a layer have fired, and which have ever been below D.

    At every step: ``(T, ...)``.
    """

    def __init__(self) -> None:
        self.fired: Tensor | None = None
        self.unsaturated: Tensor | None = None
        self.is_lost = False  # places of one call are not those of another

    def update(self, counts: Tensor, levels: int, start: int) -> None:
        """Look at more of them.

        Args:
            counts (Tensor): Steps first, then observations, then the places.
            levels (int): D.
            start (int): Which step the first one is.
        """
        if self.is_lost:
            return
        fired, unsaturated = (counts > 0).any(1), (counts < levels).any(1)
        if self.fired is None:
            self.fired, self.unsaturated = fired[:0], unsaturated[:0]
        if self.fired.shape[1:] != fired.shape[1:]:
            self.lose()
            return
        end = start + len(counts)
        self.grow(end)
        self.fired[start:end] |= fired
        self.unsaturated[start:end] |= unsaturated

    def grow(self, steps: int) -> None:
        if not self.is_lost:
            self.fired = _grow(self.fired, steps)
            self.unsaturated = _grow(self.unsaturated, steps)

    def lose(self) -> None:
        self.is_lost, self.fired, self.unsaturated = True, None, None

    def reduce(self, shapes: list) -> None:
        """Join what all processes have seen; ``shapes``: of their places."""
        if len(set(shapes)) > 1 or shapes[0] is None:
            self.lose()
            return
        for seen in (self.fired, self.unsaturated):
            total = seen.to(torch.uint8)
            all_reduce(total, 'max')
            seen.copy_(total)

    @property
    def shape(self) -> tuple | None:
        """Shape of the places; None if they are not known."""
        return None if self.fired is None else tuple(self.fired.shape[1:])

    def silent(self) -> float | None:
        return _missing_share(self.fired)

    def saturated(self) -> float | None:
        return _missing_share(self.unsaturated)

    def at(self, step: int) -> tuple[float | None, float | None]:
        """Silent and saturated share of one step."""
        if self.fired is None:
            return None, None
        rows = slice(step, step + 1)
        return _missing_share(self.fired[rows]), _missing_share(self.unsaturated[rows])


def _missing_share(seen: Tensor | None) -> float | None:
    """Share of the places that were not seen at any step."""
    if seen is None or not len(seen):
        return None
    return 1 - seen.any(0).double().mean().item()


class _LayerMeter:
    """Running statistics of one layer; their size does not depend on the data."""

    def __init__(self, name: str, neuron: nn.Module) -> None:
        self.name = name
        self.kind = type(neuron).__name__
        self.levels = 0
        # a row per step: spikes, values, how often every count from 0 to D was there
        self.totals: Tensor | None = None
        self.neurons, self.channels = _Seen(), _Seen()
        self.calls = 0  # of a single-step neuron since the model began to run

    @property
    def time_steps(self) -> int:
        return 0 if self.totals is None else len(self.totals)

    def update(self, neuron: nn.Module, out: Tensor, batch_size: int) -> None:
        form = spike_format(neuron, out)
        counts, start = out.detach(), 0
        if form.norm != 1:
            counts = (counts * form.norm).round_()
        if isinstance(neuron, SpikingNeuron):
            counts = unfold_time(counts, form.time_steps)  # (T, N, ...)
        elif form.time_steps is None:
            counts, start = counts[None], self.calls
            self.calls += 1
        totals = self._sum(counts, form.levels)
        if self.totals is None:
            self.levels, self.totals = form.levels, totals[:0]
        elif self.levels != form.levels or (
            form.time_steps is not None and self.time_steps != form.time_steps
        ):  # since the last call
            raise ValueError(
                f'{self.name} changed its time steps or levels while it was measured'
            )
        self.totals = _grow(self.totals, start + len(totals))
        self.totals[start : start + len(totals)] += totals
        self._look(counts, form.levels, batch_size, start)

    @staticmethod
    def _sum(counts: Tensor, levels: int) -> Tensor:
        flat = counts.flatten(1)
        spikes = flat.sum(1, dtype=torch.float64)
        values = torch.full_like(spikes, flat.shape[1])
        levels_seen = [(flat == n).sum(1) for n in range(1, levels + 1)]
        zeros = values - sum(levels_seen)  # follows from the others
        return torch.stack((spikes, values, zeros, *levels_seen), 1)

    def _look(self, counts: Tensor, levels: int, batch_size: int, start: int) -> None:
        if counts.numel() == 0:
            return
        is_image = counts.shape[1] == batch_size
        if is_image:
            self.neurons.update(counts, levels, start)
        else:  # regions of interest, blocks of an attention map
            self.neurons.lose()
        axes = counts.dim()
        if axes in (3, 5) or is_image:  # (T, N, C, H, W), else channels last
            channels = counts.movedim(2 if axes == 5 else -1, -1)
            self.channels.update(channels.flatten(1, -2), levels, start)
        else:
            self.channels.lose()

    def reduce(self) -> None:
        mine = (self.levels, self.time_steps, self.neurons.shape, self.channels.shape)
        states = all_gather_object(mine)
        self.levels, steps = (max(state[i] for state in states) for i in range(2))
        if not self.levels:
            return
        if self.totals is None:  # a layer that only other processes called
            self.totals = torch.zeros(0, self.levels + 3).double()
        self.totals = _grow(self.totals, steps)
        all_reduce(self.totals)
        for index, seen in ((2, self.neurons), (3, self.channels)):
            shapes = [state[index] for state in states]
            if seen.fired is not None:
                seen.grow(steps)
            seen.reduce(shapes)

    def report(self, num_images: int) -> LayerFiring:
        rows = self.totals.tolist()
        spikes, values, *histogram = self.totals.sum(0).tolist()
        return LayerFiring(
            name=self.name,
            kind=self.kind,
            levels=self.levels,
            time_steps=self.time_steps,
            values=round(values),
            mean_count=spikes / max(values, 1),
            firing_rate=spikes / max(values, 1) / self.levels,
            active_share=sum(histogram[1:]) / max(values, 1),
            spikes_per_image=spikes / max(num_images, 1),
            silent_share=self.neurons.silent(),
            saturated_share=self.neurons.saturated(),
            silent_channels=self.channels.silent(),
            histogram=tuple(count / max(values, 1) for count in histogram),
            steps=tuple(self._step(*row) for row in enumerate(rows)),
        )

    def _step(self, index: int, totals: list[float]) -> StepFiring:
        spikes, values, *histogram = totals
        silent, saturated = self.neurons.at(index)
        return StepFiring(
            firing_rate=spikes / max(values, 1) / self.levels,
            active_share=sum(histogram[1:]) / max(values, 1),
            silent_share=silent,
            saturated_share=saturated,
            histogram=tuple(count / max(values, 1) for count in histogram),
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
        for meter in self._meters.values():
            meter.calls = 0
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
        meters = [m for m in meters if m.totals[:, 1].any()]
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
