"""Time steps of layers, of images and of the network without spikes."""

from collections.abc import Callable

import pytest
import torch
from spikingjelly.activation_based import functional, layer
from spikingjelly.activation_based import neuron as sj
from torch import Tensor, nn

from snndense.analysis import EnergyReport, measure_energy, model_macs
from snndense.models.layers import LIF
from snndense.models.time_steps import to_spike_driven
from snndense.registry import MODELS

from .rigged import Rigged, spikes

STEM, CONV = 4 * 4 * 4 * 27, 4 * 4 * 2 * 4  # of one image and step
REPEATS: dict[str, Callable[[Tensor, int], Tensor]] = {
    'repeat': lambda x, steps: x.repeat(steps, 1, 1, 1),
    'expand': lambda x, steps: x[None].expand(steps, *x.shape).flatten(0, 1),
    'stack': lambda x, steps: torch.stack([x] * steps).flatten(0, 1),
    'cat': lambda x, steps: torch.cat([x] * steps),
    'index': lambda x, steps: x[torch.arange(len(x)).repeat(steps)],
}


class Repeating(nn.Module):
    """The image at every step -> conv -> spikes -> conv."""

    def __init__(self, steps: int = 4, repeat: str = 'repeat') -> None:
        super().__init__()
        self.time_steps, self.repeat = steps, REPEATS[repeat]
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.neuron = LIF(time_steps=steps, v_threshold=0.1)
        self.conv = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.neuron(self.stem(self.repeat(x, self.time_steps))))


class MultiStep(nn.Module):
    """The same with a neuron of spikingjelly, which takes ``(T, N, ...)``."""

    def __init__(self, steps: int = 4, neuron: type = sj.LIFNode) -> None:
        super().__init__()
        self.steps = steps
        self.stem = layer.SeqToANNContainer(nn.Conv2d(3, 4, 3, padding=1))
        options = dict(v_threshold=0.1) if neuron is sj.LIFNode else {}
        self.neuron = neuron(step_mode='m', **options)
        self.conv = layer.SeqToANNContainer(nn.Conv2d(4, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x[None].repeat(self.steps, 1, 1, 1, 1)
        return self.conv(self.neuron(self.stem(x))).mean(0)


class Loop(nn.Module):
    """The same one step after the other, then a classifier once."""

    def __init__(self, steps: int = 4, stem_inside: bool = True) -> None:
        super().__init__()
        self.steps, self.stem_inside = steps, stem_inside
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.neuron = sj.LIFNode(v_threshold=0.1)
        self.conv = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        current = self.stem(x)
        maps = []
        for step in range(self.steps):
            current = self.stem(x) if self.stem_inside and step else current
            maps.append(self.conv(self.neuron(current)))
        return self.fc((sum(maps) / self.steps).mean((2, 3)))


def image() -> Tensor:
    return torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def rows(report: EnergyReport) -> dict:
    return {x.name.partition('.')[0]: x for x in report.layers}


@pytest.mark.parametrize('batch_size', [1, 2])
@pytest.mark.parametrize('repeat', REPEATS)
def test_an_image_repeated_before_the_first_layer(repeat, batch_size):
    torch.manual_seed(0)
    model, batches = Repeating(repeat=repeat), image().split(batch_size)
    once = measure_energy(model, batches)
    per_step = measure_energy(model, batches, first_layer='per_step')
    assert once.ann_macs == per_step.ann_macs == STEM + CONV
    assert (once.macs, per_step.macs) == (STEM, 4 * STEM)
    assert rows(per_step)['stem'].dense_macs == 4 * STEM
    assert once.sops == per_step.sops > 0
    # weights are read once, too, as everything of that layer
    assert once.weight_bytes == 4 * (STEM + once.sops)
    assert model_macs(model, (4, 4)).macs == STEM + CONV


def test_repeated_channels_are_no_steps():
    class Grey(Repeating):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x[:, :1].repeat(1, 3, 1, 1))
            return self.conv(self.neuron(x.repeat(3, 1, 1, 1)))

    report = measure_energy(Grey(steps=3), [image()])
    assert (report.macs, report.ann_macs) == (STEM, STEM + CONV)


def test_two_images_are_no_steps():
    class Mirrored(Repeating):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(torch.cat([x, x.flip(3)]))
            return self.conv(self.neuron(x.repeat(2, 1, 1, 1)))

    report = measure_energy(Mirrored(steps=2), [image()])
    assert report.macs == 2 * STEM


@pytest.mark.parametrize('neuron, levels', [(sj.LIFNode, 1), (sj.ILIFNode, 4)])
def test_multi_step_neurons_of_spikingjelly(neuron, levels):
    torch.manual_seed(0)
    model = MultiStep(neuron=neuron)
    model.stem[0].weight.data *= 8
    report = measure_energy(model, [image()])
    assert (report.time_steps, report.levels) == (4, levels)
    assert (report.macs, report.ann_macs) == (STEM, STEM + CONV)
    fired = model.neuron(model.stem(image()[None].repeat(4, 1, 1, 1, 1)))
    assert fired.max() > levels / 2
    assert report.sops * 2 == 2 * fired.sum() > 0
    per_step = measure_energy(model, [image()], first_layer='per_step')
    assert per_step.macs == 4 * STEM
    # read and written at each of T x D steps
    assert report.state_bytes == 2 * 4 * 4 * 4 * 16 * levels
    macs = model_macs(model, (4, 4))
    assert (macs.macs, macs.time_steps) == (STEM + CONV, 4)


@pytest.mark.parametrize('stem_inside', [True, False])
def test_loops_over_time(stem_inside):
    torch.manual_seed(0)
    model = Loop(stem_inside=stem_inside)
    report = measure_energy(model, image().split(1))
    by_name = rows(report)
    assert report.time_steps == 4
    assert report.ann_macs == STEM + CONV + 10
    assert by_name['stem'].macs == STEM
    assert by_name['stem'].notes == 'before any neuron'
    assert by_name['conv'].dense_macs == 4 * CONV
    assert (by_name['fc'].macs, by_name['fc'].notes) == (10, '')
    per_step = measure_energy(model, image().split(1), first_layer='per_step')
    assert rows(per_step)['stem'].macs == 4 * STEM
    macs = model_macs(model, (4, 4))
    assert (macs.macs, macs.time_steps) == (STEM + CONV + 10, 4)


def test_steps_of_a_loop_may_be_joined():
    class Joined(Loop):
        def forward(self, x: Tensor) -> Tensor:
            steps = [self.neuron(self.stem(x)) for _ in range(self.steps)]
            return self.conv(torch.stack(steps).flatten(0, 1))

    report = measure_energy(Joined(), [image()])
    assert report.ann_macs == STEM + CONV
    assert rows(report)['conv'].dense_macs == 4 * CONV


def test_steps_are_the_calls_of_most_neurons():
    class Shared(Loop):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.other = sj.LIFNode(), sj.LIFNode()

        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            for _ in range(self.steps):
                out = self.other(self.twice(self.twice(out)))
            return out

    report = measure_energy(Shared(), [image()])
    assert (report.time_steps, report.ann_macs) == (4, STEM + CONV + 10)


READERS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    'last': (lambda x: x[-1], 1),
    'slice': (lambda x: x[1:3].flatten(0, 1), 2),
    'every other': (lambda x: x[::2].flatten(0, 1), 2),
    'all': (lambda x: x.flatten(0, 1), 4),
    'channels': (lambda x: x[:, :, :2].flatten(0, 1), 4),
    'sample': (lambda x: x[:, 1], 4),
    'unbound': (lambda x: x.unbind(0)[2], 1),
}


@pytest.mark.parametrize('reader', READERS)
def test_views_of_some_steps(reader):
    read, steps = READERS[reader]

    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time_steps = 4
            self.neuron = Rigged(time_steps=4)
            self.conv = nn.LazyConv2d(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.neuron(x.transpose(0, 1).flatten(0, 1))
            return self.conv(read(x.unflatten(0, (4, -1))))

    model, x = Reading(), spikes(2, 4, 6, 4, 4)  # (N, T, C, H, W)
    model(x)
    report = measure_energy(model, [x])
    dense = model.conv(read(x.transpose(0, 1))).numel() * model.conv.in_channels
    assert report.layers[0].dense_macs * 2 == dense
    assert report.ann_macs * 2 == dense / steps
    assert report.sops * 2 == read(x.transpose(0, 1)).sum() * 3


@pytest.mark.parametrize('batch_size', [1, 2])
def test_one_event_frame_is_one_step(batch_size):
    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time_steps = 4
            self.conv = nn.Conv2d(3, 2, 1)
            self.neuron = Rigged()

        def forward(self, x: Tensor) -> Tensor:
            return self.neuron(self.conv(x[:, -1]))

    report = measure_energy(Reading(), spikes(2, 4, 3, 5, 5).split(batch_size))
    assert report.ann_macs == report.layers[0].dense_macs == 25 * 6


def test_a_loop_that_runs_twice_per_image():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time_steps, self.loop = 4, Loop()

        def forward(self, x: Tensor) -> Tensor:
            first = self.loop(x)
            functional.reset_net(self.loop)
            return first + self.loop(x.flip(3))

    model = Twice()
    once, twice = (
        measure_energy(model.loop, [image()]),
        measure_energy(model, [image()]),
    )
    assert twice.time_steps == 4
    assert (twice.macs, twice.ann_macs) == (2 * once.macs, 2 * once.ann_macs)


@pytest.mark.parametrize('name', ['MetaSDT', 'Spikformer'])
def test_dense_macs_are_those_of_one_step_in_binary_execution_too(name):
    options = dict(neuron_cfg=dict(type='IntegerLIF', levels=4), time_steps=1)
    options.update(arch='t') if name == 'MetaSDT' else options.update(depths=1)
    model = MODELS.build(dict(type=f'snndense.{name}', **options)).eval()
    before = model_macs(model, (32, 48)).macs
    assert model_macs(to_spike_driven(model), (32, 48)).macs == before
