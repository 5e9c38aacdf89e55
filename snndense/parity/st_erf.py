"""Recorded receptive fields of the published ST-ERF code (``sterf-fixture-1``).

The fixtures tell small networks in words; they are built here from this package's
neurons, and measured with :func:`snndense.analysis.st_erf`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from snndense.analysis import st_erf
from snndense.analysis.st_erf_stats import square_area
from snndense.models.layers import (
    LIF,
    IntegerLIF,
    fold_time,
    repeat_time,
)

from .fixture import read_json
from .report import Report

FORMAT = 'sterf-fixture-1'
#: Maps are recorded in float32, with seven digits.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-7
# upstream: the column of the middle is missed by this much
COLUMN_SHIFT = 5


@dataclass
class ERFReport(Report):
    """As :class:`Report`, of receptive fields.

    Attributes:
        deviation (float): Largest one of a map, as a fraction of what is allowed.
    """

    deviation: float = 0.0

    def summary(self) -> str:
        return f'maps at {self.deviation:.1e} of the tolerance'


class ChargeLIF(LIF):
    """A LIF neuron that gives its membrane before the reset instead of its spikes."""

    def fire(self, x_seq: Tensor) -> Tensor:
        v, charges = self.resting_membrane(x_seq), []
        for x in x_seq:
            charges.append(v + (x - v) / self.tau)
            spikes = charges[-1] >= self.v_threshold
            v = charges[-1] * ~spikes  # upstream: the spike is detached
        return torch.stack(charges)


class ConvNet(nn.Module):
    """Two 3x3 convolutions with an activation behind each, over all steps."""

    def __init__(self, case: dict, act1: nn.Module, act2: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, case['c'], 3, padding=1)
        self.conv2 = nn.Conv2d(case['c'], 1, 3, padding=1)
        self.act1, self.act2 = act1, act2

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 5:  # (N, T, 1, H, W)
            x = fold_time(x.transpose(0, 1))
        return self.act2(self.conv2(self.act1(self.conv1(x))))


class ProjectionNet(nn.Module):
    """A stem of stride 2, then ``u = u + proj(neuron(u))`` for every projection."""

    def __init__(self, case: dict, neuron: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.time_steps = case.get('T', 1)
        self.stem = nn.Conv2d(3, case['c'], 3, stride=2, padding=1)
        for layer in case['layers']:
            parent = self
            *path, last = layer['module'].split('.')
            for name in path:
                if not hasattr(parent, name):
                    parent.add_module(name, nn.Module())
                parent = getattr(parent, name)
            parent.neuron = neuron()
            parent.add_module(last, nn.Conv2d(case['c'], case['c'], 3, padding=1))
        self.names = [layer['module'] for layer in case['layers']]

    def forward(self, x: Tensor) -> Tensor:
        u = repeat_time(self.stem(x), self.time_steps)
        for name in self.names:
            parent = self.get_submodule(name.rpartition('.')[0])
            u = u + self.get_submodule(name)(parent.neuron(u))
        return u


def _lif(case: dict, neuron_class: type[LIF] = LIF) -> LIF:
    rule = case['neuron']
    return neuron_class(
        time_steps=case['T'],
        tau=rule['tau'],
        v_threshold=rule['v_th'],
        surrogate='atan',
        alpha=rule['alpha'],
    )


def _lif_net(case: dict, last: type[LIF] = LIF) -> ConvNet:
    return ConvNet(case, _lif(case), _lif(case, last))


def _tensor(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


Comparison = Iterator[tuple[str, np.ndarray, list]]


def _relu_net(case: dict) -> Comparison:
    net = _load(ConvNet(case, nn.ReLU(), nn.Identity()), case)
    images = _tensor(case['inputs']).unsqueeze(1)
    yield 'output', st_erf(net, 'act2', images).map, case['map']


def _projections(case: dict, net: ProjectionNet, **options) -> Comparison:
    _load(net, case)
    for layer in case['layers']:  # upstream: a new image for every layer
        images = _tensor(layer['inputs'])
        found = st_erf(net, layer['module'], images, **options)
        yield layer['module'], found.map, layer['map']


def _first_step(case: dict) -> Comparison:
    return _projections(case, ProjectionNet(case, lambda: _lif(case)), time='first')


def _all_steps(case: dict) -> Comparison:
    return _projections(case, ProjectionNet(case, lambda: _lif(case)), time='all')


def _integer_neuron(case: dict) -> Comparison:
    levels = case['neuron']['D']
    net = ProjectionNet(case, lambda: IntegerLIF(levels=levels))
    height, width = (side // 2 for side in case['image_size'])
    unit = (height // 2, width // 2 + COLUMN_SHIFT)
    return _projections(case, net, unit=unit)


def _delays(case: dict) -> Comparison:
    net = _load(_lif_net(case), case)
    for entry in case['delays']:  # upstream: new frames for every delay
        frames = _tensor(entry['inputs']).unsqueeze(2)
        volume = st_erf(net, 'act2', frames, mode='spatiotemporal').map
        yield f'delay {entry["delay"]}', volume[entry['delay']], entry['map']


def _profile(case: dict) -> Comparison:
    net = _load(_lif_net(case, ChargeLIF), case)
    frames = _tensor(case['inputs']).unsqueeze(2)
    found = st_erf(net, 'act2', frames, mode='temporal').map
    recorded = list(case['profile'].values())  # upstream: without the longest delay
    yield 'profile', found[: len(recorded)], recorded


def _all_outputs(case: dict) -> Comparison:
    net = _load(_lif_net(case), case)
    image = _tensor(case['input'])[None, None]
    options = dict(unit='all', time='last', normalize='max')
    volume = st_erf(net, 'act2', image, mode='spatiotemporal', **options).map
    yield 'all outputs', volume[::-1], case['map']  # delays to steps


CASES: dict[str, Callable[[dict], Comparison]] = {
    'spatial_relu_net': _relu_net,
    'spatial_lif_first_timestep': _first_step,
    'spatial_lif_all_timesteps': _all_steps,
    'spatial_integer_neuron_offset_unit': _integer_neuron,
    'spatiotemporal_all_delays': _delays,
    'temporal_profile': _profile,
    'temporal_all_outputs_static_image': _all_outputs,
}


def _load(net: nn.Module, case: dict) -> nn.Module:
    net.load_state_dict({key: _tensor(v) for key, v in case['weights'].items()})
    return net.double()


def _areas(statistic: dict) -> Comparison:
    erf = np.asarray(statistic['map'])
    for quantile, recorded in statistic['result_side_and_area_ratio'].items():
        found = square_area(erf, float(quantile))
        missing = (0, 0)  # no square holds that much
        yield f'area at {quantile}', np.array(found or missing), recorded or missing


def check_st_erf(path: str | Path) -> ERFReport:
    """Measure the networks of one fixture and compare with the recorded maps.

    Args:
        path (str | Path): A ``sterf-fixture-1`` file.

    Returns:
        ERFReport: The largest deviation of a map, and failures.

    Raises:
        FileNotFoundError, ValueError: If the file is no such fixture or holds a case
            that is not supported.
    """
    data = read_json(path, FORMAT)
    report = ERFReport(Path(path).stem)
    for case in data['cases']:
        if case['case'] not in CASES:
            raise ValueError(f'unsupported: no network for case {case["case"]!r}')
        for name, found, recorded in CASES[case['case']](case):
            _compare(report, f'{case["case"]}, {name}', found, recorded)
    for name, found, recorded in _areas(data.get('area_statistic', _NO_AREAS)):
        _compare(report, name, found, recorded)
    return report


_NO_AREAS = dict(map=[], result_side_and_area_ratio={})


def _compare(report: ERFReport, name: str, found: np.ndarray, recorded: list) -> None:
    expected = np.asarray(recorded)
    if found.shape != expected.shape:
        report.failures.append(f'{name}: {found.shape}, recorded {expected.shape}')
        return
    allowed = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(expected)
    ratio = float((np.abs(found - expected) / allowed).max())
    report.deviation = max(report.deviation, ratio)
    if not ratio <= 1:
        report.failures.append(f'{name}: at {ratio:.1e} of the tolerance')
