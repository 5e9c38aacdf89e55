"""NIR graphs compute what torch computes; what NIR cannot express is named."""

import numpy as np
import pytest
import torch
from test_models.tiny_backbones import build, pictures
from torch import Tensor

from snndense.models.backbones import SpikingBackbone
from snndense.models.layers import SpikeConv

REASON = 'pip install nir nirtorch'
nir = pytest.importorskip('nir', reason=REASON)
pytest.importorskip('nirtorch', reason=REASON)

from snndense.export.nir import export_nir, run_nir  # noqa: E402

SIZE = (17, 20)
LIF = dict(neuron_cfg=dict(type='LIF'), time_steps=3)
EXPRESSIBLE = {
    'residual': (('SDTV3Large', '83m'), dict(LIF, out_indices=(2,))),
    'plif': (
        ('SDTV3Large', '173m'),
        dict(
            neuron_cfg=dict(type='PLIF', init_tau=3.0), time_steps=4, out_indices=(1,)
        ),
    ),
    'if': (
        ('Spikformer', 'cifar'),
        dict(neuron_cfg=dict(type='IF', v_threshold=2.0), out_indices=(1,)),
    ),
    'lif_no_decay': (
        ('LSFormer', 'flat'),
        dict(
            arch='cifar',
            out_type='membrane',
            out_indices=(1,),
            time_steps=2,
            neuron_cfg=dict(type='LIF', tau=4.0, decay_input=False, v_threshold=0.7),
        ),
    ),
}


@pytest.mark.parametrize('name', EXPRESSIBLE)
def test_graph_computes_what_the_backbone_does(name, tmp_path):
    case, cfg = EXPRESSIBLE[name]
    model = build(case, **cfg, out_mode='sequence').eval()
    image, other = pictures(*SIZE), pictures(*SIZE).flip(3)
    path = tmp_path / 'sub/model.nir'
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert export_nir(model, image, path) < 1e-4
    graph = nir.read(path)
    kinds = {type(node).__name__ for node in graph.nodes.values()}
    assert kinds <= {'Input', 'Output', 'Conv2d', 'LIF', 'IF'}
    with torch.no_grad():
        (wanted,) = model(other)
    torch.testing.assert_close(run_nir(path, other, model.time_steps), wanted)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


REFUSED = {
    'attention': (
        ('SDTV3Large', '83m'),
        dict(LIF, out_indices=(3,)),
        'stages.3.blocks.0.attn: SpikeDrivenSelfAttention multiplies',
    ),
    'groups': (
        ('MetaSDT', 'srb'),
        dict(LIF, out_indices=(1,)),
        'sep_conv.dwconv.conv: convolution of 8 groups',
    ),
    'integers': (
        ('SDTV3Large', '83m'),
        dict(out_indices=(0,)),
        'stages.0.blocks.0.mixer.conv1.neuron: integer neuron',
    ),
    'soft_reset': (
        ('SDTV3Large', '83m'),
        dict(neuron_cfg=dict(type='LIF', v_reset=None), out_indices=(0,)),
        'conv1.neuron: neuron with a soft reset',
    ),
    'max_pool': (
        ('Spikformer', 'imagenet'),
        dict(out_indices=(1,)),
        'patch_embed.0.fire.pool: MaxPool2d is no linear layer',
    ),
    'several_taps': (('SDTV3Large', '83m'), dict(LIF), 'one output'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_layers_that_nir_lacks_are_named(name, tmp_path):
    case, cfg, message = REFUSED[name]
    model = build(case, **cfg, out_mode='sequence')
    with pytest.raises(ValueError) as error:
        export_nir(model, pictures(*SIZE), tmp_path / 'model.nir')
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


class Scaled(SpikingBackbone):
    """A backbone that multiplies a membrane by a number."""

    def __init__(self) -> None:
        super().__init__(stage_channels=(4,), stage_strides=(1,), out_indices=(0,))
        self.conv = SpikeConv(3, 4, 3)

    def forward_stages(self, inputs: Tensor):
        yield self.encode(inputs, self.conv) * 2

    def stage_modules(self, index: int) -> list:
        return [self.conv]

    def block_prefixes(self) -> list[str]:
        return ['conv.']


def test_operations_between_layers_are_named(tmp_path):
    with pytest.raises(ValueError, match="operation 'mul'; NIR has sums only"):
        export_nir(Scaled(), pictures(*SIZE), tmp_path / 'model.nir')
    assert not list(tmp_path.iterdir())


def test_a_graph_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    case, cfg = EXPRESSIBLE['if']
    model = build(case, **cfg, out_mode='sequence')
    read = nir.read

    def damaged(path):
        graph = read(path)
        for node in graph.nodes.values():
            if isinstance(node, nir.IF):
                node.v_threshold = np.full_like(node.v_threshold, 0.1)
        return graph

    monkeypatch.setattr(nir, 'read', damaged)
    with pytest.raises(ValueError, match='disagree, and nothing was written'):
        export_nir(model, pictures(*SIZE), tmp_path / 'model.nir')
    assert not list(tmp_path.iterdir())
