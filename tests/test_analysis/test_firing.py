import csv
import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from spikingjelly.activation_based import neuron as sj
from test_models.tiny_backbones import build, each_case, pictures
from torch import Tensor, nn

from snndense.analysis import measure_firing, write_firing_csv
from snndense.analysis.firing import FiringMeter, FiringReport
from snndense.analysis.firing_plots import plot_firing
from snndense.models.layers import IF, LIF, PLIF, IntegerLIF, SpikingNeuron

from .rigged import Folding, Rigged, spikes


def measure(neuron: nn.Module, *batches: Tensor) -> FiringReport:
    return measure_firing(nn.Sequential(neuron), batches)


@pytest.mark.parametrize('levels, norm', [(1, 1), (4, 4), (4, 1), (3, 2)])
def test_definitions_over_uneven_batches(levels, norm):
    # three samples in batches of two and one, two steps, time slower
    counts = spikes(2, 3, 4, 5, 6, levels=levels)  # (T, N, C, H, W)
    counts[:, :, 1] = 0
    counts[:, :, 2, 0] = levels
    neuron = Folding(Rigged(levels, norm, time_steps=2))
    report = measure(neuron, *(counts.transpose(0, 1) / norm).split(2))
    assert report.num_images == 3
    (layer,) = report.layers
    assert (layer.levels, layer.time_steps) == (levels, 2)
    assert layer.values == counts.numel()
    assert layer.mean_count == pytest.approx(counts.mean().item())
    assert layer.firing_rate == pytest.approx(counts.mean().item() / levels)
    assert layer.active_share == pytest.approx((counts > 0).float().mean().item())
    assert layer.spikes_per_image == pytest.approx(counts.sum().item() / 3)
    expected = counts.mean((1, 2, 3, 4)) / levels
    assert layer.per_step == pytest.approx(expected.tolist())
    shares = [(counts == n).float().mean().item() for n in range(levels + 1)]
    assert layer.histogram == pytest.approx(shares)
    silent = (counts == 0).all(0).all(0).float().mean().item()
    assert layer.silent_share == pytest.approx(silent) and silent >= 0.25
    saturated = (counts == levels).all(0).all(0).float().mean().item()
    assert layer.saturated_share == pytest.approx(saturated) and saturated >= 0.05
    assert layer.silent_channels == pytest.approx(0.25)


@pytest.mark.parametrize(
    'neuron',
    [
        LIF(time_steps=2),
        PLIF(time_steps=2),
        IF(time_steps=2, v_reset=None),
        IntegerLIF(time_steps=2, levels=3),
        IntegerLIF(levels=4, norm=1, train_levels=8),
    ],
    ids=lambda n: f'{type(n).__name__}-{n.norm}',
)
def test_every_neuron(neuron):
    x = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 3
    (layer,) = measure(neuron, x).layers
    emitted = neuron.eval()(x) * neuron.norm
    assert layer.kind == type(neuron).__name__
    assert layer.levels == neuron.levels
    assert layer.mean_count == pytest.approx(emitted.mean().item())
    assert len(layer.histogram) == neuron.levels + 1
    assert len(layer.per_step) == neuron.time_steps


@pytest.mark.parametrize('step_mode, steps', [('m', 3), ('s', 1)])
def test_neurons_of_spikingjelly(step_mode, steps):
    neuron = sj.LIFNode(step_mode=step_mode)
    x = torch.rand(3, 2, 4, 4, 4) * 4
    inputs = x if step_mode == 'm' else x[0]
    (layer,) = measure(neuron, inputs, inputs).layers  # starts from rest both times
    neuron.reset()
    assert layer.mean_count == pytest.approx(neuron(inputs).mean().item())
    assert layer.time_steps == steps


def test_maps_of_different_sizes_have_no_neurons_in_common():
    report = measure(Rigged(), spikes(1, 3, 4, 4), spikes(1, 3, 5, 4))
    (layer,) = report.layers
    assert layer.silent_share is None and layer.saturated_share is None
    assert layer.silent_channels == 0
    assert layer.values == 3 * 36


def test_weighted_and_plain_means():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.unused = Rigged(), Rigged(), Rigged()

        def forward(self, x):
            return self.a(torch.zeros(1, 9)), self.b(torch.ones(1, 3))

    report = measure_firing(Model(), [torch.zeros(1)])
    assert [layer.name for layer in report.layers] == ['a', 'b']
    assert report.firing_rate == pytest.approx(0.25)
    assert report.mean_layer_rate == pytest.approx(0.5)
    assert report.dead_layers() == ['a']


@each_case
def test_every_backbone(case):
    model = build(case)
    report = measure_firing(model, pictures().split(1))
    assert model.training
    assert report.num_images == 2
    called = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
    assert len(report.layers) == len(called)
    assert all(0 < layer.firing_rate < 1 for layer in report.layers)
    assert all(sum(x.histogram) == pytest.approx(1) for x in report.layers)
    # the same in one batch
    whole = measure_firing(model, [pictures()])
    for layer, other in zip(report.layers, whole.layers, strict=True):
        assert layer.mean_count == pytest.approx(other.mean_count, rel=1e-3)


def test_table_and_figure(tmp_path):
    model = build(('SpikingResformer', 'ti'))
    report = measure_firing(model, [pictures()])
    path = tmp_path / 'firing.csv'
    write_firing_csv(report, path)
    rows = list(csv.DictReader(path.open()))
    assert [row['name'] for row in rows] == [x.name for x in report.layers]
    assert float(rows[0]['rate_step_1']) == report.layers[0].per_step[1]
    bars = plot_firing(report).axes[0]
    assert [t.get_text() for t in bars.get_yticklabels()] == [r['name'] for r in rows]


def test_checkpointing_is_not_seen_twice():
    model = build(('MetaSDT', 't2'), with_cp=True).train()
    with FiringMeter(model) as meter:
        outputs = model(pictures())
        before = [layer.values for layer in meter.report().layers]
        torch.autograd.backward(outputs, [torch.randn_like(y) for y in outputs])
    assert [layer.values for layer in meter.report().layers] == before


def test_models_without_neurons_and_data():
    with pytest.raises(ValueError, match='Linear has no spiking neuron'):
        measure_firing(nn.Linear(2, 2), [torch.zeros(1, 2)])
    with pytest.raises(ValueError, match='at least one batch'):
        measure(Rigged())


def _process(rank: int, store: str, path: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=2
    )
    batches = spikes(3, 4, 5, 6).split(1)
    report = measure(Rigged(), *(batches[:2] if rank == 0 else batches[2:]))
    torch.save(report.as_dict(), f'{path}/{rank}')
    dist.destroy_process_group()


def test_processes_share_their_statistics(tmp_path):
    os.environ.setdefault('GLOO_SOCKET_IFNAME', 'lo')
    args = (tmp_path / 'store', tmp_path)
    mp.start_processes(_process, args, nprocs=2, start_method='fork')
    expected = measure(Rigged(), *spikes(3, 4, 5, 6).split(1)).as_dict()
    assert expected['layers'][0]['silent_share'] > 0
    for rank in range(2):
        assert torch.load(tmp_path / str(rank), weights_only=True) == expected
