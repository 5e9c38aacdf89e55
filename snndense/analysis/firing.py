"""How often neurons fire: rates, silence and saturation, layer by layer.

For a neuron with D levels that emits ``n / norm``, n from 0 to D (binary: D = 1)::

    mean count        mean of n over steps, samples and positions
    firing rate       mean count / D: the rate of the D binary steps that n stands for
    active share      share of n > 0
    silent share      neurons that fire at no step of no sample
    saturated share   neurons that emit D at every step of every sample
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from snndense.utils.tables import write_csv


@dataclass(frozen=True)
class StepFiring:
    """How the neurons of one layer fire at one time step; as in :class:`LayerFiring`.

    Attributes:
        firing_rate (float): Mean count over levels.
        active_share (float): Share of emitted values that are not 0.
        silent_share (float, optional): Neurons that did not fire at this step of any
            sample.
        saturated_share (float, optional): Neurons that emitted D at this step of every
            sample.
        histogram (tuple[float]): Share of the counts 0 to D.
    """

    firing_rate: float
    active_share: float
    silent_share: float | None
    saturated_share: float | None
    histogram: tuple[float, ...]


@dataclass(frozen=True)
class LayerFiring:
    """How the neurons of one layer fire.

    Attributes:
        name (str): Name of the neuron module in the model.
        kind (str): Its class.
        levels (int): Most spikes of one step, D.
        time_steps (int): T; of a neuron that takes steps one by one, its calls.
        values (int): Values that it emitted in all, steps counted one by one.
        mean_count (float): Spikes per neuron and step.
        firing_rate (float): ``mean_count / levels``.
        active_share (float): Share of emitted values that are not 0.
        spikes_per_image (float): Spikes of all steps, per image.
        silent_share (float, optional): Neurons that never fired. None where neurons
            cannot be told apart from one call to the next: maps of different sizes,
            regions of interest, unless there are as many as images.
        saturated_share (float, optional): Neurons that always emitted D; None as above.
        silent_channels (float, optional): Channels of which no neuron ever fired.
        histogram (tuple[float]): Share of the counts 0 to D.
        steps (tuple[StepFiring]): The same of every step.
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
    silent_share: float | None
    saturated_share: float | None
    silent_channels: float | None
    histogram: tuple[float, ...]
    steps: tuple[StepFiring, ...]

    @property
    def per_step(self) -> tuple[float, ...]:
        """Firing rate of every step."""
        return tuple(step.firing_rate for step in self.steps)


@dataclass(frozen=True)
class FiringReport:
    """How all spiking layers of a model fire.

    Attributes:
        layers (tuple[LayerFiring]): In the order of the model's modules; layers that
            were never called, or on nothing, are left out.
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


def write_firing_csv(report: FiringReport, path: str | Path) -> None:
    """Write one row per layer; rates of steps and shares of counts have a column each.

    Layers with fewer steps or levels than others leave the rest of them empty.
    """
    rows = [asdict(layer) for layer in report.layers]
    steps = max((len(layer.steps) for layer in report.layers), default=0)
    for row, layer in zip(rows, report.layers, strict=True):
        del row['steps']
        shares = row.pop('histogram')
        row.update(_columns('rate_step', layer.per_step, steps))
        row.update(_columns('share_of', shares, _num_counts(report)))
    write_csv(path, rows)


def write_steps_csv(report: FiringReport, path: str | Path) -> None:
    """Write one row per layer and time step; shares of counts have a column each."""
    rows = []
    for layer in report.layers:
        for index, step in enumerate(layer.steps):
            row = dict(name=layer.name, step=index, **asdict(step))
            shares = row.pop('histogram')
            row.update(_columns('share_of', shares, _num_counts(report)))
            rows.append(row)
    write_csv(path, rows)


def _num_counts(report: FiringReport) -> int:
    return max((layer.levels + 1 for layer in report.layers), default=0)


def _columns(prefix: str, values: tuple[float, ...], count: int) -> dict:
    padded = [*values, *[''] * (count - len(values))]
    return {f'{prefix}_{i}': value for i, value in enumerate(padded)}
