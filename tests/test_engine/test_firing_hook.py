import json
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from snndense.engine import FiringRateHook
from snndense.models.layers import LIF


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 6)
        self.lif = LIF()
        self.dead = LIF(v_threshold=1e6)

    def forward(self, inputs, mode='tensor'):
        x = self.lif(self.fc(inputs) * 9)
        return dict(loss=x.sum() + self.dead(x).sum())


def train(work_dir: Path, **hook) -> tuple[Runner, list[dict], str]:
    inputs = [dict(inputs=x) for x in torch.randn(6, 4)]
    runner = Runner(
        Model(),
        str(work_dir),
        DataLoader(inputs, batch_size=2),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        custom_hooks=[dict(type='snndense.FiringRateHook', **hook)],
        randomness=dict(seed=0),
        experiment_name=work_dir.parent.name,
    )
    runner.train()
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    (log,) = work_dir.glob('*/*.log')
    return runner, [x for x in lines if 'firing/rate' in x], log.read_text()


def test_training_with_the_hook(tmp_path):
    runner, logged, log = train(tmp_path / 'run', interval=2)
    assert [x['step'] for x in logged] == [2, 4, 6]
    for entry in logged:
        assert 0 < entry['firing/lif'] < 1
        assert entry['firing/dead'] == 0
        assert entry['firing/rate'] == pytest.approx(entry['firing/lif'] / 2)
    assert log.count('1 of 2 layers do not fire') == 1
    assert ': dead.' in log
    assert log.count('lowest 0.0000 in dead') == 3
    # nothing stays attached
    assert not any(m._forward_hooks for m in runner.model.modules())


def test_only_the_mean(tmp_path):
    _, logged, log = train(tmp_path / 'run', interval=4, per_layer=False)
    assert [set(x) for x in logged] == [{'firing/rate', 'step'}]


def test_a_model_without_neurons_fails_before_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(Model, 'forward', lambda self, inputs, mode: pytest.fail())
    monkeypatch.setattr('snndense.analysis.neurons.NEURONS', ())
    with pytest.raises(ValueError, match='Model has no spiking neuron'):
        train(tmp_path / 'run')


def test_layers_that_got_nothing_are_not_dead(tmp_path, monkeypatch):
    def forward(self, inputs, mode='tensor'):
        x = self.lif(self.fc(inputs) * 9)
        return dict(loss=x.sum() + self.dead(x[:0]).sum())  # no proposals

    monkeypatch.setattr(Model, 'forward', forward)
    _, logged, log = train(tmp_path / 'run', interval=3)
    assert set(logged[0]) == {'firing/rate', 'firing/lif', 'step'}
    assert 'do not fire' not in log and 'in dead' not in log


@pytest.mark.parametrize('options', [dict(interval=0), dict(dead_rate=1.0)])
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match='expected interval >= 1'):
        FiringRateHook(**options)
