"""Every operator against loops that read like the definition."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional
from spikingjelly.activation_based import neuron as sj
from spikingjelly.activation_based.op_counter import (
    DispatchCounterMode,
    ModuleCounterMode,
    NeuromorphicMemoryAccessCounter,
    SynOpCounter,
)
from torch import Tensor, nn

from snndense.analysis import measure_energy
from snndense.models.backbones.lsformer_attention import LSSSA
from snndense.models.backbones.meta_sdt_attention import RepConv
from snndense.models.backbones.sdt_v3_large import PointwisePair
from snndense.models.backbones.spiking_resformer_attention import DSSA
from snndense.models.layers import IntegerLIF, linear_attention

from .rigged import Rigged, spikes


def measure(model: nn.Module, *batches: Tensor, **options) -> dict:
    """Rows by (layer, operator), counts per image times images."""
    report = measure_energy(model, batches, **options)
    assert report.uncounted == {}
    return {(x.name, x.operator): x for x in report.layers}


def behind(layer: nn.Module, levels: int = 1, norm: float = 1) -> nn.Sequential:
    return nn.Sequential(Rigged(levels, norm), layer)


def pairs(size: int, out: int, kernel: int, stride: int, pad: int, rate: int):
    """Positions (in, out) of one axis that a kernel joins."""
    for o, k in product(range(out), range(kernel)):
        if 0 <= o * stride - pad + k * rate < size:
            yield o * stride - pad + k * rate, o


CONVS = [
    dict(kernel_size=3, padding=1),
    dict(kernel_size=3, stride=2),
    dict(kernel_size=(3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1)),
    dict(kernel_size=3, padding=1, groups=2),
    dict(kernel_size=5, padding=2, groups=4, out_channels=4),
    dict(kernel_size=1),
    dict(kernel_size=3, padding='same', dilation=2),
]


@pytest.mark.parametrize('levels, norm', [(1, 1), (4, 4), (4, 1)])
@pytest.mark.parametrize('options', CONVS, ids=str)
def test_convolution(options, levels, norm):
    conv = nn.Conv2d(4, **{'out_channels': 6, **options})
    counts = spikes(2, 4, 6, 5, levels=levels)
    out = conv(counts)
    pads = [conv.dilation[i] * (conv.kernel_size[i] - 1) // 2 for i in range(2)]
    pads = pads if conv.padding == 'same' else conv.padding
    axes = [
        list(
            pairs(
                counts.shape[2 + i],
                out.shape[2 + i],
                conv.kernel_size[i],
                conv.stride[i],
                pads[i],
                conv.dilation[i],
            )
        )
        for i in range(2)
    ]
    expected = 0
    for (y, _), (x, _) in product(*axes):
        expected += counts[:, :, y, x].sum().item() * conv.out_channels // conv.groups
    rows = measure(behind(conv, levels, norm), counts / norm)
    ((name, operator), row) = next(iter(rows.items()))
    assert (name, operator, row.reads, row.macs) == ('1', 'conv', 'spikes', 0)
    assert row.sops * 2 == expected
    dense = out.numel() * conv.weight[0].numel()
    assert row.dense_macs * 2 == dense
    assert row.sops_rate * 2 == pytest.approx(counts.mean().item() * dense)
    assert row.mean_count == pytest.approx(counts.mean().item())


@pytest.mark.parametrize(
    'options',
    [
        dict(kernel_size=2, stride=2),
        dict(kernel_size=3, stride=2, padding=1, output_padding=1, groups=2),
        dict(kernel_size=3, dilation=2, padding=2),
    ],
    ids=str,
)
def test_transposed_convolution(options):
    conv = nn.ConvTranspose2d(4, 6, bias=False, **options)
    counts = spikes(2, 4, 4, 3, levels=3)
    size = conv(counts).shape[2:]
    axes = [
        list(
            pairs(
                size[i],
                counts.shape[2 + i],
                conv.kernel_size[i],
                conv.stride[i],
                conv.padding[i],
                conv.dilation[i],
            )
        )
        for i in range(2)
    ]
    expected = 0
    for (_, y), (_, x) in product(*axes):  # the other way round
        expected += counts[:, :, y, x].sum().item() * 6 // conv.groups
    (row,) = measure(behind(conv, 3), counts).values()
    assert row.sops * 2 == expected


def test_borders_of_the_published_example():
    counts = torch.ones(1, 1, 3, 3)
    for stride, exact, by_rate in ((1, 49, 81), (2, 16, 36)):
        conv = nn.Conv2d(1, 1, 3, stride, 1)
        (row,) = measure(behind(conv), counts).values()
        assert (row.sops, row.sops_rate) == (exact, by_rate)


@pytest.mark.parametrize('bias', [True, False])
def test_linear(bias):
    counts = spikes(2, 7, 5, levels=4)
    model = behind(nn.Linear(5, 3, bias=bias), 4, 4)
    (row,) = measure(model, counts / 4).values()
    assert row.operator == 'linear'
    assert row.sops * 2 == counts.sum() * 3 == pytest.approx(row.sops_rate * 2)
    assert row.dense_macs * 2 == 2 * 7 * 5 * 3


class Products(nn.Module):
    """Spikes and real values in both places of a product."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Rigged(3), Rigged(3)
        self.real = nn.Linear(1, 1)  # holds no part in the products

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b = self.a(x[:, :4]), self.b(x[:, 4:]).mT  # (N, 4, 5) and (N, 5, 6)
        return a @ b, a @ torch.sin(b), torch.cos(a) @ torch.sin(b)


def test_matrix_products():
    x = spikes(2, 10, 5, levels=3)
    a, b = x[:, :4], x[:, 4:].mT
    (row,) = measure(Products(), x).values()
    assert row.reads == 'both'
    both = sum(min(a[i].sum() * 6, b[i].sum() * 4) for i in range(2))
    assert row.sops * 2 == both + a.sum() * 6
    assert row.coincidences * 2 == (a @ b).sum()
    assert row.macs * 2 == 2 * 4 * 5 * 6
    assert row.dense_macs == 3 * 4 * 5 * 6


class LinearAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = Rigged(4, 4), Rigged(4, 4), Rigged(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = x.flatten(3).split((3, 3, 5), 2)  # (N, heads, d, H*W)
        return linear_attention(self.q(q), self.k(k), self.v(v), 0.5)


def test_global_attention():
    x = spikes(2, 2, 11, 4, 3, levels=4)
    x[:, :, :3, :2] = 0  # q sparse: a map of spikes would be cheap
    x[0, 0, 3:6], x[1, 1, 6:] = 0, 0  # one head has no keys, another no values
    q, k, v = x.flatten(3).split((3, 3, 5), 2)
    (row,) = measure(LinearAttention(), x / 4).values()
    # k^T v first, a real matrix, then the spikes of q read it
    heads = [(n, h) for n in range(2) for h in range(2)]
    cheaper = [min(k[i].sum() * 5, v[i].sum() * 3) for i in heads]
    assert sum(cheaper) < min(k.sum() * 5, v.sum() * 3)
    assert row.sops * 2 == row.sops_rate * 2 == sum(cheaper) + q.sum() * 5
    assert (row.operator, row.macs) == ('matmul', 0)
    # of products of spikes, the side that is added has k.sum() or v.sum() spikes
    takes_k = [k[i].sum() * 5 <= v[i].sum() * 3 for i in heads]
    read = [k[i] if takes else v[i] for i, takes in zip(heads, takes_k, strict=True)]
    read = torch.cat([x.flatten() for x in (*read, q)])
    assert row.mean_count == pytest.approx(read.mean().item())
    # images on their own and together
    (alone,) = measure(LinearAttention(), *(x / 4).split(1)).values()
    assert alone == row


UNIT = dict(norm_cfg=dict(type='BN'), time_steps=2)


@pytest.mark.parametrize(
    'neuron_cfg', [dict(type='LIF'), dict(type='IntegerLIF', levels=3)], ids=str
)
def test_dual_spike_attention(neuron_cfg):
    torch.manual_seed(0)
    layer = DSSA(
        8,
        2,
        2,
        num_tokens=None,
        pad_patches=True,
        published_rates=False,
        neuron_cfg=neuron_cfg,
        **UNIT,
    )
    nn.init.constant_(layer.norm.weight, 5)
    layer(torch.randn(8, 8, 5, 5) * 9)  # rates and statistics
    fired = {'neuron': [], 'attn_neuron': []}
    for name, seen in fired.items():
        neuron = getattr(layer, name)
        neuron.register_forward_hook(
            lambda m, _, out, seen=seen: seen.append((out * m.norm).sum().item())
        )
    x = torch.randn(4, 8, 5, 5, generator=torch.Generator().manual_seed(1)) * 9
    rows = measure(layer, x)
    row = rows['', 'matmul']
    # the model ran once to count, once more for the network without spikes
    queries, attention = (seen[-1] for seen in fired.values())
    assert min(queries, attention) > 0
    # a query meets 9 patches, a spike of the map the 4 channels of its head
    assert row.sops * 4 == pytest.approx(queries * 9 + attention * 4)
    assert row.macs == 0
    assert rows['patch_conv', 'conv'].reads == 'spikes'


def test_window_attention():
    torch.manual_seed(0)
    cfg = dict(neuron_cfg=dict(type='IntegerLIF', levels=4, tau=1.0), **UNIT)
    layer = LSSSA(8, 4, dilations=(1, 2), **cfg)
    nn.init.normal_(layer.rel_bias.weight)
    fired = {}
    for name in ('q_neuron', 'k_neuron', 'v_neuron'):
        getattr(layer, name).register_forward_hook(
            lambda m, _, out, name=name: fired.update({name: out * m.norm})
        )
    # spikes of another neuron, as the block has one in front
    model = nn.Sequential(Rigged(4, 4), layer)
    rows = measure(model, spikes(4, 8, 5, 6, levels=4) / 4)
    expected = layer.count_ops(*fired.values())
    for operator in ('qk', 'av'):
        row = rows['1', operator]
        assert row.sops * 4 == expected[operator].sops > 0
        assert row.sops_rate * 4 == pytest.approx(
            expected[operator].mean_count * 9 * 4 * 8 * 30
        )
        assert row.macs == 0
    # the offset term is a convolution of v
    values = fired['v_neuron']
    expected = sum(
        F.conv2d(part, torch.ones(4, 1, 3, 3), None, 1, rate, rate, 4).sum()
        for part, rate in zip(values.chunk(2, 1), (1, 2), strict=True)
    )
    assert rows['1.rel_bias', 'conv'].sops * 4 == pytest.approx(expected.item())


@pytest.mark.parametrize(
    'layer, dense',
    [
        (RepConv(6, dict(type='BN')), nn.Conv2d(6, 6, 3, padding=1)),
        (PointwisePair(6, 9, 4, dict(type='BN')), nn.Conv2d(6, 4, 1)),
    ],
    ids=['RepConv', 'PointwisePair'],
)
def test_merged_convolutions(layer, dense):
    counts = spikes(2, 6, 5, 4, levels=2)
    # a norm behind it folds too
    model = nn.Sequential(Rigged(2), layer, nn.BatchNorm2d(dense.out_channels))
    (row,) = measure(model, counts).values()
    (expected,) = measure(behind(dense, 2), counts).values()
    assert row.operator == 'merged conv'
    assert (row.sops, row.sops_rate) == (expected.sops, expected.sops_rate)
    # of real values it has the three, or two, convolutions
    image = torch.rand(2, 6, 5, 4)
    (row,) = measure(nn.Sequential(nn.Identity(), layer), image).values()
    assert (
        row.macs
        == row.dense_macs
        == sum(
            m.weight.numel() * 20 for m in layer.modules() if isinstance(m, nn.Conv2d)
        )
    )


class Pools(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.neuron = Rigged(2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.neuron(x)
        options = dict(ceil_mode=True, divisor_override=1)
        return (
            F.max_pool2d(x, 2),
            F.avg_pool2d(x, 3, 2, 1, **options),
            x.sum(1),
            x.mean((2, 3)),
            x.mean(0),  # over samples or steps: no part of inference
        )


def test_pooling_and_sums():
    counts = spikes(2, 3, 5, 6, levels=2)
    rows = measure(Pools(), counts)
    windows = F.avg_pool2d(counts, 3, 2, 1, True, divisor_override=1)
    assert rows['', 'pool'].sops * 2 == windows.sum()
    assert rows['', 'sum'].sops * 2 == 2 * counts.sum()
    assert 'no logical OR' in rows['', 'max pool'].notes
    real = measure(nn.AvgPool2d(2), torch.rand(2, 3, 4, 4)).values()
    assert [(x.adds, x.macs, x.sops) for x in real] == [(48, 0, 0)]


@pytest.mark.parametrize(
    'pool, shape',
    [
        (nn.AvgPool1d(3, 1), (7,)),
        (nn.AvgPool2d(3, 2, 1), (5, 6)),
        (nn.AvgPool3d(2, 1), (3, 4, 3)),
        (nn.AdaptiveAvgPool1d(3), (5,)),
        (nn.AdaptiveAvgPool2d(3), (5, 5)),
        (nn.AdaptiveAvgPool2d((2, 4)), (5, 6)),
        (nn.AdaptiveAvgPool3d((2, 3, 2)), (3, 5, 3)),
    ],
    ids=str,
)
def test_overlapping_windows(pool, shape):
    counts = spikes(2, 3, *shape, levels=2)
    (row,) = measure(behind(pool, 2), counts).values()
    # a spike is added once for every output that it changes
    uses = torch.zeros(shape)
    for place in product(*map(range, shape)):
        impulse = torch.zeros(1, 1, *shape)
        impulse[(0, 0, *place)] = 1
        uses[place] = (pool(impulse) > 0).sum()
    assert (row.operator, row.macs) == ('pool', 0)
    assert row.sops * 2 == (counts * uses).sum()
    real = measure(pool, torch.rand(2, 3, *shape)).values()
    assert [x.adds for x in real] == [3 * uses.sum()]


class Gates(nn.Module):
    def __init__(self, levels: int) -> None:
        super().__init__()
        self.a, self.b = Rigged(levels), Rigged(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x[:, 0]) * self.b(x[:, 1])


@pytest.mark.parametrize('levels', [1, 3])
def test_elementwise_products_of_spikes(levels):
    x = torch.stack((spikes(2, 4, 9, levels=levels), spikes(2, 4, 9, levels=3)), 1)
    (row,) = measure(Gates(levels), x).values()
    meetings = (x[:, 0] * x[:, 1]).sum()
    counted, other = row.gates, row.sops
    if levels > 1:  # two counts: every spike of one meets every spike of the other
        counted, other = other, counted
    assert (counted * 2, other) == (meetings, 0)


def test_norms():
    counts = spikes(2, 3, 5, 6)
    folded = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    assert list(measure(behind(folded), counts)) == [('1.0', 'conv')]
    alone = measure(behind(nn.BatchNorm2d(3)), counts)
    assert alone['1', 'norm'].macs == 90
    resized = measure(behind(nn.Upsample(scale_factor=2, mode='bilinear')), counts)
    assert resized['1', 'resize'].macs == 4 * 360


def binary_network(step_mode: str = 'm') -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        sj.IFNode(v_threshold=0.5),
        nn.Conv2d(3, 4, 3, 2, 1),
        sj.LIFNode(v_threshold=0.1),
        nn.Flatten(),
        nn.Linear(4 * 3 * 3, 5),
        sj.LIFNode(v_threshold=0.1),
        nn.Linear(5, 2),
    )
    return model.eval()


def test_as_spikingjelly_on_binary_networks():
    model, x = binary_network(), torch.rand(2, 3, 6, 5)
    report = measure_energy(model, [x])
    synops, memory = SynOpCounter(), NeuromorphicMemoryAccessCounter()
    functional.reset_net(model)
    with (
        torch.no_grad(),
        DispatchCounterMode([synops]),
        ModuleCounterMode([memory], model=model),
    ):
        model(x)
    assert report.macs == 0
    assert report.sops * 2 == synops.get_total() > 0
    traffic = memory.get_counts()['Global']
    assert report.weight_bytes * 2 == traffic['weight_read_bytes']
    assert report.bias_bytes * 2 == traffic['bias_read_bytes']
    assert report.state_bytes * 2 == (
        traffic['neuron_state_read_bytes'] + traffic['neuron_state_write_bytes']
    )
    assert report.memory_mj * 2e9 == pytest.approx(24.96 * memory.get_total())


def test_spikes_are_recognised_without_their_neuron():
    # of an own neuron, no subclass of any: what it emits looks like spikes
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.lif = (
                nn.Linear(4, 8),
                nn.Linear(8, 2),
                IntegerLIF(),
            )

        def forward(self, x):
            x = self.lif(self.fc1(x) * 9)
            spikes = (x > 0.3).float(), x * 0.3
            # not of a few levels, negative, not whole
            real = (9 * x).ceil(), (x > 0.3).float().neg(), x.sqrt()
            return [self.fc2(y) for y in spikes + real]

    torch.manual_seed(0)
    model, image = Own(), torch.rand(2, 4)
    rows = measure(model, image)
    counts = model.lif.eval()(model.fc1(image) * 9) * 4
    row = rows['fc2', 'linear']
    assert row.reads == 'both'
    assert row.macs * 2 == 3 * 2 * 8 * 2
    assert row.dense_macs * 2 == 5 * 2 * 8 * 2
    assert row.sops * 2 == ((counts > 1).sum() + counts.sum()) * 2 > 0
    assert rows['fc1', 'linear'].reads == 'real'
