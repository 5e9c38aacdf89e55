"""Models are after a measurement what they were before."""

from collections.abc import Callable

import pytest
import torch
from spikingjelly.activation_based import neuron as sj
from torch import nn

from snndense.analysis import measure_energy, measure_firing, model_macs, st_erf
from snndense.analysis.evaluation import evaluation
from snndense.models.layers import LIF

MEASUREMENTS: dict[str, Callable[[nn.Module, torch.Tensor], object]] = {
    'firing': lambda model, x: measure_firing(model, [x]),
    'energy': lambda model, x: measure_energy(model, [x]),
    'macs': lambda model, x: model_macs(model, x.shape[2:]),
    'erf': lambda model, x: st_erf(model, '0', x),
}


@pytest.mark.parametrize('name', MEASUREMENTS)
def test_modes_and_states(name):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), LIF(), sj.LIFNode(), nn.Conv2d(4, 2, 1)
    )
    model[1].eval()  # frozen
    held = torch.rand(5, 4, 6, 6)
    model[3].v = held
    MEASUREMENTS[name](model, torch.rand(2, 3, 4, 4))
    assert [m.training for m in model] == [True, False, True, True, True]
    assert model.training
    assert model[3].v is held


def test_a_mistake_inside():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), sj.LIFNode())
    model.train()
    with pytest.raises(RuntimeError), evaluation(model):
        assert not any(m.training for m in model.modules())
        model(torch.rand(1, 2, 4, 4))
    assert all(m.training for m in model.modules())
