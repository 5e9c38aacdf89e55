import pytest
import torch
from test_models.tiny_backbones import build, each_case, pictures
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from snndense.analysis import count_macs, model_macs
from snndense.models.backbones.lsformer_attention import LSSSA
from snndense.models.backbones.meta_sdt_attention import RepConv
from snndense.models.backbones.sdt_v3_large import PointwisePair
from snndense.models.layers.counting import MERGED
from snndense.studies.measuring import load_model


def layers(report) -> dict[str, int]:
    return {layer.name: layer.macs for layer in report.layers}


def test_hand_count():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 7 x 9 -> 4 x 5
        nn.BatchNorm2d(8),  # folds
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4, bias=False),
        nn.ConvTranspose2d(8, 4, 2, stride=2),  # -> 8 x 10
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 4 * 5, 6),
    ).eval()
    image = torch.randn(2, 3, 7, 9)
    report = count_macs(model, lambda: model(image), image)
    expected = {
        '0': 2 * 8 * 4 * 5 * 3 * 9,
        '2': 2 * 8 * 4 * 5 * 2 * 9,
        '3': 2 * 8 * 4 * 5 * 4 * 4,  # every input pixel, four positions
        '6': 2 * 80 * 6,
    }
    assert layers(report) == expected
    assert report.macs == sum(expected.values())
    assert report.params == sum(p.numel() for p in model.parameters())
    assert [layer.operator for layer in report.layers] == ['conv'] * 3 + ['linear']
    assert report.uncounted == {}


def test_norm_that_does_not_fold_and_resize():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.up = nn.Upsample(scale_factor=2, mode='bilinear')

        def forward(self, x):
            return self.up(self.norm(x))

    model = Model().eval()
    image = torch.randn(2, 3, 4, 5)
    report = count_macs(model, lambda: model(image))
    assert layers(report) == {'norm': 120, 'up': 4 * 480}


def test_products_of_activations_count_and_factors_do_not():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3, 1, 1))

        def forward(self, x):
            return (x * self.gain * 0.5) * x.flip(3)

    model = Model()
    image = torch.randn(2, 3, 4, 5)
    report = count_macs(model, lambda: model(image))
    assert [(x.operator, x.macs) for x in report.layers] == [('elementwise', 120)]


@each_case
def test_every_backbone_without_values_and_against_torch(case):
    model = build(case).eval()
    report = model_macs(model, (65, 97))
    assert report.uncounted == {}
    assert report.time_steps == model.time_steps
    assert set(report.stages()) >= {f'backbone stage {i}' for i in model.out_indices}
    # of one step: the same as a model that has no other
    single = build(case, time_steps=1).eval()
    assert layers(model_macs(single, (65, 97))) == layers(report)
    # on numbers, and another batch size
    image = pictures()
    executed = count_macs(model, lambda: model(image))
    assert executed.uncounted == {}
    assert layers(executed) == {k: 2 * v for k, v in layers(report).items()}
    products = sum(
        layer.macs
        for layer in executed.layers
        if layer.operator not in ('norm', 'qk', 'av')
    )
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        single(image)
    assert 2 * products == flops.get_total_flops()
    merged = any(isinstance(m, (RepConv, PointwisePair)) for m in model.modules())
    assert merged == any(layer.operator == MERGED for layer in executed.layers)
    windows = any(isinstance(m, LSSSA) for m in model.modules())
    assert windows == any(layer.operator == 'qk' for layer in executed.layers)


def test_unknown_operators_are_named():
    class Model(nn.Module):
        def forward(self, x):
            return torch.fft.fft2(x).real

    model = Model()
    report = count_macs(model, lambda: model(torch.randn(1, 3, 4, 4)))
    assert list(report.uncounted) == ['aten._fft_c2c.default']


def test_model_is_left_as_it_was():
    model = build(('Spikformer', 'imagenet'))
    model_macs(model, (32, 32))
    assert model.training
    assert not [m for m in model.modules() if 'forward' in m.__dict__]
    with pytest.raises(ValueError, match='height and a width'):
        model_macs(model, (0, 32))


def _set_steps(cfg: dict | list, steps: int) -> None:
    for key, value in cfg.items() if isinstance(cfg, dict) else enumerate(cfg):
        if key == 'time_steps':
            cfg[key] = steps
        elif isinstance(value, (dict, list)):
            _set_steps(value, steps)


@pytest.mark.parametrize(
    'name',
    [
        'seg/sdt_v2_15m_t4_ade20k',  # spiking neck and head
        'det/meta_sdt_srb_s_retinanet_gen1',  # event frames, stock neck and head
    ],
)
def test_one_step_of_whole_models(name, load_config):
    cfg = load_config(name)
    reports = []
    for _ in range(2):
        model = load_model(cfg)
        reports.append(model_macs(model, (64, 96), scope=cfg.default_scope))
        _set_steps(cfg.model, 1)
    assert [report.time_steps for report in reports] == [4, 1]
    assert layers(reports[0]) == layers(reports[1])
    assert reports[0].uncounted == {}


def test_encoder_layers_of_torch_are_opened():
    encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    x = torch.rand(2, 5, 16)
    report = count_macs(encoder, lambda: encoder(x))
    tokens = 2 * 5
    projections, attention = tokens * 4 * 16 * 16, 2 * 2 * 5 * 5 * 16
    norms, mlp = 2 * tokens * 16, tokens * 2 * 16 * 32
    assert report.macs == projections + attention + norms + mlp
    assert torch.backends.mha.get_fastpath_enabled()
