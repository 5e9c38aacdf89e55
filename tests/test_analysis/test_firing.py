import csv
import json
import os
from dataclasses import asdict

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from spikingjelly.activation_based import neuron as sj
from test_models.tiny_backbones import build, each_case, pictures
from torch import Tensor, nn

from snndense.analysis import measure_firing, write_firing_csv, write_steps_csv
from snndense.analysis.firing import FiringReport
from snndense.analysis.firing_meter import FiringMeter
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
    counts[0, :, 3, 1], counts[1, :, 3, 1] = 0, levels  # one step late
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
    for step, at_step in zip(layer.steps, counts, strict=True):
        assert step.firing_rate == pytest.approx(at_step.mean().item() / levels)
        active = (at_step > 0).float().mean().item()
        assert step.active_share == pytest.approx(active)
        shares = [(at_step == n).float().mean().item() for n in range(levels + 1)]
        assert step.histogram == pytest.approx(shares)
        silent = (at_step == 0).all(0).float().mean().item()
        assert step.silent_share == pytest.approx(silent)
        saturated = (at_step == levels).all(0).float().mean().item()
        assert step.saturated_share == pytest.approx(saturated)
    assert layer.steps[0].silent_share > layer.silent_share


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


def test_layers_without_input_are_left_out():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.head = Rigged(), Rigged()

        def forward(self, x):
            return self.a(x), self.head(x.new_zeros(0, 4))

    report = measure_firing(Model(), [torch.ones(1, 2, 3, 3)])
    assert [layer.name for layer in report.layers] == ['a']
    assert report.dead_layers() == []
    assert report.mean_layer_rate == 1


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
    write_steps_csv(report, path)
    lines = list(csv.DictReader(path.open()))
    layer = report.layers[0]
    assert [row['step'] for row in lines[: layer.time_steps]] == ['0', '1']
    assert len(lines) == sum(x.time_steps for x in report.layers)
    row, step = lines[1], layer.steps[1]
    assert row['name'] == layer.name
    assert float(row['active_share']) == step.active_share
    assert float(row['silent_share']) == step.silent_share
    assert float(row['share_of_1']) == step.histogram[1]
    assert json.loads(json.dumps(report.as_dict()))['layers'][0]['steps'][1] == {
        **asdict(step),
        'histogram': list(step.histogram),
    }
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


class Loop(nn.Module):
    """Gives a neuron of spikingjelly the steps of its input, ``(N, T, ...)``."""

    def __init__(self, step_mode: str) -> None:
        super().__init__()
        self.neuron = sj.LIFNode(step_mode=step_mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.neuron.step_mode == 'm':
            return self.neuron(x.transpose(0, 1))
        return torch.stack([self.neuron(step) for step in x.unbind(1)])


def test_single_steps_of_spikingjelly_in_a_loop():
    x = torch.rand(3, 4, 2, 5, 5, generator=torch.Generator().manual_seed(0)) * 3
    single, multi = (
        measure_firing(Loop(mode), x.split(2)).layers[0] for mode in ('s', 'm')
    )
    assert single == multi
    assert single.time_steps == 4
    assert len(set(single.per_step)) > 1


def _in_processes(kind: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A model, and batches for two processes: two for the first, one for the other."""
    shape = 3, 2, 4, 5, 6
    batches = (spikes(*shape, levels=2) * spikes(*shape, seed=1)).split(1)
    if kind == 'folded':
        return Folding(Rigged(2, time_steps=2)), batches
    # a loop, longer for the last batch
    return Loop('s'), (*batches[:2], 3 * batches[2].repeat(1, 2, 1, 1, 1))


def _process(rank: int, kind: str, store: str, path: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=2
    )
    model, batches = _in_processes(kind)
    report = measure_firing(model, batches[:2] if rank == 0 else batches[2:])
    torch.save(report.as_dict(), f'{path}/{rank}')
    dist.destroy_process_group()


@pytest.mark.parametrize('kind', ['folded', 'loop'])
def test_processes_share_their_statistics(kind, tmp_path):
    os.environ.setdefault('GLOO_SOCKET_IFNAME', 'lo')
    args = (kind, tmp_path / 'store', tmp_path)
    mp.start_processes(_process, args, nprocs=2, start_method='fork')
    model, batches = _in_processes(kind)
    expected = measure_firing(model, batches).as_dict()
    layer = expected['layers'][0]
    assert layer['silent_share'] > 0
    assert layer['steps'][0]['silent_share'] > layer['silent_share']
    assert len(layer['steps']) == (2 if kind == 'folded' else 4)
    for rank in range(2):
        assert torch.load(tmp_path / str(rank), weights_only=True) == expected
