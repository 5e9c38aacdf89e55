import csv
import json

import pytest
import torch
import torch.nn.functional as F
from spikingjelly.activation_based.op_counter import SimpleEnergyCostConfig
from test_models.tiny_backbones import build, each_case, pictures
from torch import Tensor, nn

from snndense.analysis import (
    EnergyTable,
    assumptions,
    energy_text,
    get_table,
    measure_energy,
    model_macs,
    plot_energy,
    write_energy_csv,
)
from snndense.models.layers import LIF, mean_over_time, repeat_time

from .rigged import Rigged, spikes


class Network(nn.Module):
    """Image -> conv -> T steps of spikes -> conv -> mean over time -> linear."""

    def __init__(self, steps: int = 2, repeat_first: bool = False) -> None:
        super().__init__()
        self.time_steps, self.repeat_first = steps, repeat_first
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4)
        self.lif = LIF(time_steps=steps, v_threshold=0.1)
        self.conv = nn.Conv2d(4, 5, 1)
        self.fc = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 5:  # event frames
            x = self.norm(self.stem(x.transpose(0, 1).flatten(0, 1)))
        else:
            x = repeat_time(self.norm(self.stem(x)), self.time_steps)
        x = mean_over_time(self.conv(self.lif(x)), self.time_steps)
        return self.fc(x.mean((2, 3)))


def network(**kwargs) -> Network:
    torch.manual_seed(0)
    return Network(**kwargs).eval()


def test_hand_count():
    model, image = network(), torch.rand(3, 3, 8, 6)
    report = measure_energy(model, image.split(2))
    fired = model.lif(repeat_time(model.norm(model.stem(image)), 2))
    stem, sops, fc = 4 * 4 * 3 * 27, fired.sum().item() * 5 / 3, 5 * 2
    assert sops > 0
    assert report.num_images == 3
    assert report.macs == stem + fc  # the image once, the classifier behind the mean
    assert report.sops == pytest.approx(sops)
    assert report.sops_rate == pytest.approx(sops)
    assert report.compute_mj == pytest.approx((4.6 * (stem + fc) + 0.9 * sops) * 1e-9)
    one_step = stem + 4 * 3 * 4 * 5 + fc
    assert report.ann_macs == one_step
    assert report.ann_mj == pytest.approx(4.6e-9 * one_step)
    assert report.params == sum(p.numel() for p in model.parameters())
    assert (report.time_steps, report.levels) == (2, 1)
    assert report.input_shapes == {(3, 8, 6): 3}
    assert report.as_dict()['input_shapes'] == {'3 x 8 x 6': 3}
    assert report.firing.layers[0].spikes_per_image == pytest.approx(sops / 5)
    by_name = {layer.name: layer for layer in report.layers}
    assert by_name['stem'].notes == 'before any neuron'
    assert by_name['conv'].dense_macs == 2 * 4 * 3 * 4 * 5
    assert report.weight_bytes == pytest.approx(4 * (stem + fc + sops))
    assert report.bias_bytes == 4 * (4 * 12 + 2 * 5 * 12 + 2)
    # the membrane of every neuron, read and written at both steps
    assert report.state_bytes == 2 * 4 * 2 * 4 * 12
    assert report.neuron_ops == 2 * 4 * 12


def test_first_layer_per_step():
    model, image = network(), torch.rand(1, 3, 8, 6)
    once = measure_energy(model, [image])
    per_step = measure_energy(model, [image], first_layer='per_step')
    assert per_step.macs - once.macs == 4 * 4 * 3 * 27
    assert per_step.sops == once.sops
    assert 'at every step' in ' '.join(assumptions(per_step))


def test_event_frames():
    model = network()
    frames = spikes(2, 2, 3, 8, 6, levels=9)  # more than any neuron emits
    report = measure_energy(model, [frames])
    stem = report.layers[0]
    ones = torch.ones_like(model.stem.weight)
    expected = F.conv2d(frames.flatten(0, 1), ones, None, 2, 1).sum().item()
    assert (stem.reads, stem.sops * 2) == ('spikes', expected)
    # normalised frames multiply at every step, whatever first_layer says
    for first_layer in ('once', 'per_step'):
        report = measure_energy(model, [frames / 7], first_layer=first_layer)
        assert report.layers[0].macs == 2 * 4 * 4 * 3 * 27


def test_steps_levels_and_silence():
    counts = spikes(4, 3, 5, 5, levels=4)

    def sops(counts: Tensor, levels: int = 4, norm: float = 1) -> float:
        torch.manual_seed(0)
        model = nn.Sequential(Rigged(levels, norm), nn.Conv2d(3, 2, 3, padding=1))
        return measure_energy(model, [counts]).sops * len(counts)

    # membranes are read and written at each of the D steps that an integer stands for
    report = measure_energy(nn.Sequential(Rigged(4)), [counts])
    assert report.state_bytes == 2 * 4 * 4 * counts[0].numel()
    assert report.neuron_ops == 4 * counts[0].numel()
    # an integer costs as much as its binary steps one after the other
    steps = torch.cat([(counts > n).float() for n in range(4)])
    assert sops(counts) == sops(steps, levels=1)
    assert sops(counts / 4, norm=4) == sops(counts)
    assert sops(torch.cat((counts, counts))) == 2 * sops(counts)
    assert sops(torch.zeros_like(counts)) == 0


def test_mixed_neurons_are_told():
    model = nn.Sequential(Rigged(1, time_steps=4), Rigged(4, time_steps=2), Rigged(4))
    model.time_steps = 4
    report = measure_energy(model, [spikes(4, 3, 2, 2)])
    assert report.formats == ((4, 1), (2, 4), (1, 4))
    text = 'have T = 4 with D = 1, T = 2 with D = 4, T = 1 with D = 4: an integer'
    assert text in ' '.join(assumptions(report))
    # a neuron for two branches at a time is none of them
    model = nn.Sequential(Rigged(2, time_steps=2), Rigged(2, time_steps=4))
    model.time_steps = 2
    report = measure_energy(model, [spikes(4, 3, 2, 2)])
    assert report.formats == ((2, 2),)
    assert 'T = 2, D = 2: an integer' in ' '.join(assumptions(report))


@each_case
def test_every_backbone(case):
    model, images = build(case), pictures()
    replayed = {}

    def replay(name: str, conv: nn.Conv2d):
        def hook(module: nn.Module, inputs: tuple, out: Tensor) -> None:
            ones = torch.ones_like(conv.weight)
            counts = (inputs[0] * norm).round()
            settings = conv.stride, conv.padding, conv.dilation, conv.groups
            replayed[name] = F.conv2d(counts, ones, None, *settings).sum().item()

        return hook

    report = measure_energy(model, [images])
    assert report.uncounted == {}
    assert model.training
    assert not [m for m in model.modules() if m._forward_hooks]
    dense = sum(layer.dense_macs for layer in report.layers)
    assert report.ann_macs <= dense <= report.time_steps * report.ann_macs
    assert report.ann_macs == model_macs(model, images.shape[2:]).macs
    assert 0 < report.sops <= report.sops_rate
    # only the first layer multiplies, norms of taps, and SDT-V2's pairs
    multiplying = {x.name: x for x in report.layers if x.macs}
    assert multiplying.pop(report.layers[0].name).notes == 'before any neuron'
    allowed = ('out_layers', 'sep_conv.pwconv2')
    assert all(any(part in name for part in allowed) for name in multiplying)
    # as it is written: every convolution of spikes again, with weights of 1
    rows = {x.name: x for x in report.layers if x.operator == 'conv' and not x.macs}
    norm = next(m.norm for m in model.modules() if hasattr(m, 'levels'))
    convs = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and name in rows
    }
    assert len(convs) >= 3
    handles = [
        module.register_forward_hook(replay(name, module))
        for name, module in convs.items()
    ]
    with torch.no_grad():
        model.eval()(images)
    for handle in handles:
        handle.remove()
    for name, expected in replayed.items():
        assert rows[name].sops * len(images) == pytest.approx(expected, rel=1e-6)


def test_tables(tmp_path):
    for name, costs in (
        ('45nm_fp32', SimpleEnergyCostConfig.fp32()),
        ('45nm_fp16', SimpleEnergyCostConfig.fp16()),
        ('45nm_int8', SimpleEnergyCostConfig.int8()),
    ):
        table = get_table(name)
        assert (table.mac_pj, table.ac_pj) == (costs.e_mac_pj, costs.e_ac_pj)
    assert (get_table('45nm_fp32').mac_pj, get_table('45nm_fp32').ac_pj) == (4.6, 0.9)
    path = tmp_path / 'chip.json'
    path.write_text(json.dumps(dict(mac_pj=2, ac_pj=1)))
    report = measure_energy(network(), [torch.rand(1, 3, 8, 6)], table=str(path))
    assert report.table == EnergyTable('chip', 2, 1)
    assert report.compute_mj == pytest.approx((2 * report.macs + report.sops) * 1e-9)
    with pytest.raises(FileNotFoundError, match="45nm_int8.*'7nm'"):
        get_table('7nm')
    path.write_text(json.dumps(dict(mac=2)))
    with pytest.raises(ValueError, match='mac_pj, ac_pj'):
        get_table(str(path))
    with pytest.raises(ValueError, match='mac_pj .*not negative, but got -1'):
        EnergyTable('x', -1, 1)
    for entry in ('mac_pj', 'ac_pj', 'memory_pj_per_byte'):
        for wrong in ('0.9', None, True, float('nan')):
            path.write_text(json.dumps({'mac_pj': 1, 'ac_pj': 1, entry: wrong}))
            with pytest.raises(ValueError, match=f"{entry} of the energy table 'chip'"):
                get_table(str(path))
    with pytest.raises(ValueError, match="first_layer='never'"):
        measure_energy(network(), [], first_layer='never')
    with pytest.raises(ValueError, match='at least one batch'):
        measure_energy(network(), [])


def test_a_network_without_neurons_only_multiplies():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    report = measure_energy(model, [torch.rand(2, 3, 8, 6)])
    assert report.firing is None
    assert report.macs == report.ann_macs
    assert report.sops == report.state_bytes == 0


def test_text_table_and_figure(tmp_path):
    model = build(('Spikformer', 'imagenet'))
    report = measure_energy(model, [pictures()])
    text = energy_text(report, with_layers=True)
    for line in assumptions(report):
        assert line in text
    for layer in report.layers:
        assert layer.name in text
    assert 'backbone stage 3' in text
    path = tmp_path / 'energy.csv'
    write_energy_csv(report, path)
    rows = list(csv.DictReader(path.open()))
    total = sum(float(row['energy_mj']) for row in rows)
    assert total == pytest.approx(report.compute_mj)
    stages = report.stages().values()
    parts = [sum(s[name] for s in stages) for name in ('mac_mj', 'ac_mj')]
    assert parts == pytest.approx([4.6e-9 * report.macs, 0.9e-9 * report.sops])
    assert sum(s['sops'] for s in report.stages().values()) == report.sops
    assert json.loads(json.dumps(report.as_dict()))['compute_mj'] == report.compute_mj
    parts, _ = plot_energy(report).axes
    assert [t.get_text() for t in parts.get_yticklabels()] == list(report.stages())
