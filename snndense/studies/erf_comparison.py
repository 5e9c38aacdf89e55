"""Receptive fields of the variants of an experiment, before and after training."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.config import Config
from torch import Tensor

from snndense.analysis.firing_meter import measure_firing
from snndense.analysis.macs import num_params
from snndense.analysis.st_erf import st_erf
from snndense.analysis.st_erf_stats import describe
from snndense.engine.resume import find_resumable
from snndense.utils.tables import format_mean_std, markdown_table, mean_std

from .ablation import Experiment, Run
from .erf_models import build_for_erf, calibrate_norms

STATES = ('untrained', 'trained')


@dataclass(frozen=True)
class Measured:
    """Receptive fields of one run in one state.

    Attributes:
        experiment, variant (str): Which model.
        seed (int): Of its weights and training.
        state (str): ``'untrained'`` or ``'trained'``.
        maps (dict[str, np.ndarray]): By layer, a map per delay, ``(D, H, W)``.
        statistics (dict[str, list[dict]]): By layer, those of
            :func:`~snndense.analysis.st_erf_stats.describe` per delay.
        backbone_parameters (int): Of the backbone.
        silent_layers (list[str]): Neuron layers of the backbone that never fire. A
            surrogate gradient passes them all the same, so that a field may run
            through neurons that pass on nothing.
        metrics (dict[str, float]): Of the trained run, as the experiment names them.
    """

    experiment: str
    variant: str
    seed: int
    state: str
    maps: dict[str, np.ndarray]
    statistics: dict[str, list[dict]]
    backbone_parameters: int
    silent_layers: list[str]
    metrics: dict[str, float]

    def as_dict(self) -> dict:
        """Everything but the maps, for JSON."""
        return {key: value for key, value in vars(self).items() if key != 'maps'}


def last_checkpoint(run: Run) -> str | None:
    """Checkpoint of a finished run; None if it is not finished.

    Raises:
        FileNotFoundError: If it is finished and its checkpoint is gone.
    """
    if run.result() is None:
        return None
    cfg = Config(dict(run.cfg.to_dict(), work_dir=str(run.folder)))
    found = find_resumable(cfg)
    if found is None:
        raise FileNotFoundError(
            f'{run} is finished, but there is no checkpoint in {run.folder}'
        )
    return str(found)


def measure_run(
    experiment: Experiment,
    run: Run,
    state: str,
    images: Tensor,
    *,
    layers: Sequence[str],
    batch_size: int = 4,
    device: str = 'cpu',
) -> Measured:
    """Measure one run.

    Args:
        experiment (Experiment): It belongs to.
        run (Run): The run.
        state (str): ``'untrained'``, with weights drawn by its seed and the
            statistics of the images in its norms, or ``'trained'``.
        images (Tensor): Images, as the network gets them.
        layers (sequence[str]): Layers of the backbone, each with a seeded unit.
        batch_size (int): Images at a time. Defaults to 4.
        device (str): Defaults to ``'cpu'``.
    """
    checkpoint = last_checkpoint(run) if state == 'trained' else None
    model = build_for_erf(run.cfg, checkpoint, seed=run.seed, device=device)
    backbone = model.backbone
    if checkpoint is None:
        calibrate_norms(backbone, images.split(batch_size))
    firing = measure_firing(backbone, images.split(batch_size))
    result = st_erf(
        backbone, layers, images, mode='spatiotemporal', batch_size=batch_size
    )
    metrics = {}
    if state == 'trained':
        measured = run.result()['metrics']
        metrics = {name: measured[key] for name, key in experiment.metrics.items()}
    return Measured(
        experiment=experiment.name,
        variant=run.variant,
        seed=run.seed,
        state=state,
        maps={name: erf.map for name, erf in result.per_layer.items()},
        statistics={
            name: [describe(delay, erf.position) or {} for delay in erf.map]
            for name, erf in result.per_layer.items()
        },
        backbone_parameters=num_params(backbone),
        silent_layers=firing.dead_layers(),
        metrics=metrics,
    )


@dataclass(frozen=True)
class Group:
    """All seeds of one variant in one state.

    Attributes:
        runs (list[Measured]): One per seed.
    """

    runs: list[Measured]

    @property
    def first(self) -> Measured:
        return self.runs[0]

    def values(self, layer: str, delay: int, statistic: str) -> list[float]:
        """A statistic of every seed; a field that is zero everywhere counts as 0."""
        return [run.statistics[layer][delay].get(statistic, 0.0) for run in self.runs]

    def mean(self, layer: str, delay: int, statistic: str) -> float:
        return statistics.mean(self.values(layer, delay, statistic))

    def mean_map(self, layer: str) -> np.ndarray:
        """Mean over seeds of the maps, each over its maximum, added up over delays."""
        maps = [run.maps[layer].sum(0) for run in self.runs]
        return sum(m / (m.max() or 1) for m in maps) / len(maps)


Conditions = dict[tuple[str, str], dict[str, Group]]


def group_runs(measured: Sequence[Measured]) -> Conditions:
    """Groups by variant, for every experiment and state, untrained first."""
    conditions: Conditions = {}
    for run in sorted(measured, key=lambda run: STATES.index(run.state)):
        groups = conditions.setdefault((run.experiment, run.state), {})
        groups.setdefault(run.variant, Group([])).runs.append(run)
    order = list(dict.fromkeys(run.experiment for run in measured))
    return dict(sorted(conditions.items(), key=lambda item: order.index(item[0][0])))


@dataclass(frozen=True)
class Verdict:
    """How often a variant's field is larger than the reference's.

    Attributes:
        larger (int): Places (layer and delay) where it is larger for every seed.
        smaller (int): Places where it is smaller for every seed.
        places (int): All places.
    """

    larger: int
    smaller: int
    places: int


def compare(group: Group, reference: Group, statistic: str) -> Verdict:
    """Compare a statistic seed by seed, at every layer and delay."""
    larger = smaller = places = 0
    for layer, delays in group.first.statistics.items():
        for delay in range(len(delays)):
            pairs = zip(
                group.values(layer, delay, statistic),
                reference.values(layer, delay, statistic),
                strict=True,
            )
            signs = [np.sign(mine - theirs) for mine, theirs in pairs]
            places += 1
            larger += all(sign > 0 for sign in signs)
            smaller += all(sign < 0 for sign in signs)
    return Verdict(larger, smaller, places)


def format_tables(
    conditions: Conditions, reference: str, statistic: str, sizes: dict[str, dict]
) -> str:
    """Markdown: a table per experiment and state, and what it says.

    Args:
        conditions (Conditions): Of :func:`group_runs`.
        reference (str): Variant that the others are compared with.
        statistic (str): Which one; shares of the image are printed in percent.
        sizes (dict[str, dict]): Parameters of the whole model, by experiment and
            variant.
    """
    blocks = []
    for (experiment, state), groups in conditions.items():
        table = _table(groups, statistic, sizes[experiment])
        verdicts = [
            f'- {name}: larger than {reference} for every seed at {v.larger} of '
            f'{v.places} places (stage and delay), smaller at {v.smaller}'
            for name, group in groups.items()
            if name != reference and reference in groups
            for v in (compare(group, groups[reference], statistic),)
        ]
        seeds = len(next(iter(groups.values())).runs)
        title = f'{experiment}, {state}, {seeds} seeds'
        blocks.append('\n'.join([f'**{title}**', '', table, '', *verdicts]))
    return '\n\n'.join(blocks)


def _table(groups: dict[str, Group], statistic: str, sizes: dict[str, int]) -> str:
    first = next(iter(groups.values())).first
    metrics = list(first.metrics)
    silent = 'silent neuron layers'
    header = ('', 'parameters (M), backbone', *first.statistics, silent, *metrics)
    rows = []
    for name, group in groups.items():
        backbone = group.first.backbone_parameters
        cells = [name, f'{sizes[name] / 1e6:.3f}, {backbone / 1e6:.3f}']
        for layer, delays in group.first.statistics.items():
            cells.append(
                ' / '.join(
                    _number(group.values(layer, delay, statistic), statistic)
                    for delay in range(len(delays))
                )
            )
        silent = [len(run.silent_layers) for run in group.runs]
        cells.append(f'{statistics.mean(silent):.3g}')
        for metric in metrics:
            values = [run.metrics[metric] for run in group.runs]
            cells.append(format_mean_std(*mean_std(values), 3))
        rows.append(cells)
    return markdown_table(header, rows)


def _number(values: list[float], statistic: str) -> str:
    if statistic.startswith(('area', 'square')):  # percent of the image
        values = [100 * value for value in values]
    return format_mean_std(*mean_std(values), 1)
