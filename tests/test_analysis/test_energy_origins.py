"""What of a layer's operands is known: weights, activations, spikes, predictions."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snndense.analysis import energy_text, measure_energy, model_macs

from .rigged import Rigged, spikes


def measure(model: nn.Module, *batches: Tensor) -> dict:
    report = measure_energy(model, batches)
    assert report.uncounted == {}
    return {(x.name, x.operator): x for x in report.layers}


class Gate(nn.Module):
    """Squeeze and excite, and factors that are no activations."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.neuron = Rigged()
        self.conv = nn.Conv2d(2, channels, 1)
        self.gain = nn.Parameter(torch.full((channels,), -2.0))
        self.register_buffer('mask', torch.ones(1, 1, 4, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.neuron(x))
        x = x * self.gain.exp().view(1, -1, 1, 1) * self.mask
        x = x * torch.zeros_like(x[:1, :1]).add(1) * torch.arange(1.0, 6)
        return x * x.mean((2, 3), keepdim=True).sigmoid()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('batch_size', [1, 4])
def test_gates_count_at_every_batch_size(batch_size, channels):
    x = spikes(4, 2, 4, 5)
    row = measure(Gate(channels), *x.split(batch_size))['', 'elementwise']
    assert (row.macs, row.reads) == (channels * 4 * 5, 'real')
    macs = model_macs(nn.Sequential(nn.Conv2d(3, 2, 1), Gate(channels)), (4, 5))
    gates = [x.macs for x in macs.layers if x.operator == 'elementwise']
    assert gates == [channels * 4 * 5]


@pytest.mark.parametrize('pool', [nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(3)], ids=str)
def test_norms_behind_averages(pool):
    norm, counts = nn.BatchNorm2d(3), spikes(2, 3, 4, 6)
    # the weights of a pooling of spikes take the norm up
    behind_spikes = measure(nn.Sequential(Rigged(), pool, norm), counts)
    assert list(behind_spikes) == [('1', 'pool')]
    # and so does a convolution, with an average between
    layers = nn.Sequential(Rigged(), nn.Conv2d(3, 3, 1), pool, norm)
    assert ('3', 'norm') not in measure(layers, counts)
    # nothing does of an image
    rows = measure(nn.Sequential(pool, norm, Rigged()), counts)
    assert rows['1', 'norm'].macs == pool(counts).numel() / 2


def test_norms_and_resizes_of_spikes_tell_what_they_read():
    counts = spikes(2, 3, 4, 6, levels=3)
    up = nn.Upsample(scale_factor=2, mode='bilinear')
    for layer, factor in ((nn.BatchNorm2d(3), 1), (up, 16)):
        model = nn.Sequential(Rigged(3), nn.MaxPool2d(1), layer)
        row = measure(model, counts)['2', 'resize' if factor > 1 else 'norm']
        assert (row.reads, row.macs) == ('spikes', factor * 3 * 4 * 6)
        assert row.mean_count == pytest.approx(counts.mean().item())
    text = energy_text(measure_energy(model, [counts]))
    assert 'Layers that multiply:\n  2: resize' in text


class Head(nn.Module):
    """Resizes features."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron, self.conv = Rigged(), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(self.neuron(x), scale_factor=2, mode='bilinear'))


class WholeModel(nn.Module):
    """Resizes its logits outside its layers, as segmentors and mask heads do."""

    def __init__(self, data_preprocessor: nn.Module | None) -> None:
        super().__init__()
        if data_preprocessor is not None:
            self.data_preprocessor = data_preprocessor
        self.heads, self.head = nn.ModuleList([Head()]), Head()

    def forward(self, inputs: Tensor, data_samples=None, mode='tensor') -> Tensor:
        x = self.heads[0].forward(inputs), self.head.forward(inputs)  # no hooks
        return F.interpolate(sum(x), scale_factor=2, mode='bilinear')


class Preprocessor(nn.Module):
    def forward(self, batch: dict, training: bool) -> dict:
        return batch


def test_resizes_of_predictions_are_decoding():
    counts = spikes(2, 3, 4, 6)
    batch = dict(inputs=counts, data_samples=[SimpleNamespace()] * 2)
    model = WholeModel(Preprocessor())
    rows = measure(model, batch)
    heads = ('heads.0', 'head')
    layers = [(f'{h}', 'resize') for h in heads], [(f'{h}.conv', 'conv') for h in heads]
    assert set(rows) == {*layers[0], *layers[1]}
    assert rows['head', 'resize'].macs == 4 * 3 * 8 * 12
    assert not any('forward' in m.__dict__ for m in model.modules())
    # a layer of its own
    rows = measure(WholeModel(None), counts)
    assert rows['', 'resize'].macs == 4 * (2 * 3 * 8 * 12 + 2 * 16 * 24)


def test_coordinates_of_boxes_are_not_counted():
    pytest.importorskip('mmdet')
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron = Rigged()
            roi_layer = dict(type='RoIAlign', output_size=2, sampling_ratio=1)
            self.extractor = SingleRoIExtractor(roi_layer, 3, [4, 8])

        def forward(self, x: Tensor) -> Tensor:
            boxes = torch.tensor([[0, 0, 0, 9, 9.0], [1, 2, 2, 99, 99]])
            boxes = boxes + 0 * x.sum()
            x = self.neuron(x)
            return self.extractor((x, F.max_pool2d(x, 2)), boxes)

    rows = measure(Heads(), spikes(2, 3, 8, 8))
    assert {operator for _, operator in rows} == {'resize'}
    assert sum(row.macs for row in rows.values()) * 2 == 4 * 2 * 3 * 2 * 2


@pytest.mark.parametrize('groups', [1, 2])
def test_deformable_convolutions_sample(groups):
    pytest.importorskip('mmcv')
    from mmcv.ops import DeformConv2d

    class Deformable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offsets = nn.Conv2d(4, 18, 3, padding=1)
            self.conv = DeformConv2d(4, 6, 3, padding=1, groups=groups)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x, self.offsets(x))

    rows = measure(Deformable(), torch.rand(2, 4, 5, 7))
    taps = 5 * 7 * 9 * 4  # places, weights of a kernel, channels
    assert rows['conv', 'resize'].macs == 4 * taps
    assert rows['conv', 'deformable conv'].macs == taps * 6 / groups


def test_a_network_without_neurons_has_no_spikes():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 1))
    model[0].bias.data.fill_(-100)  # nothing but zeros
    report = measure_energy(model, [torch.rand(1, 3, 4, 4)])
    assert (report.macs, report.sops) == (16 * 12 + 16 * 20, 0)
    assert report.compute_mj == report.ann_mj
    assert [x.notes for x in report.layers] == ['', '']
    # counts of events are spikes in any network
    frames = spikes(1, 1, 3, 4, 4, levels=3)
    report = measure_energy(nn.Sequential(nn.Flatten(0, 1), *model), [frames])
    assert report.layers[0].sops == frames.sum() * 4
