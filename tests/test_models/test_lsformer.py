from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from snndense.analysis.macs import count_macs
from snndense.models.backbones import LSFormer, lsformer_window
from snndense.models.backbones.lsformer_attention import LSSSA, SSA, LocalMixer
from snndense.models.backbones.lsformer_pooling import SPOOLS, SPooling
from snndense.models.layers import SpikingNeuron, neurons

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    path.relative_to(ROOT / 'configs').with_suffix('').as_posix()
    for path in ROOT.glob('configs/*/lsformer_*.py')
    if path.parent.name != 'ablations'
)
TINY = dict(embed_dims=(8, 16, 16, 16), num_heads=(2, 4, 4, 4), time_steps=2)
FLAT = dict(arch='dvs', depths=(0, 0, 0, 2), **TINY)
PYRAMID = dict(arch='h-t', depths=(1, 1, 1, 1), **TINY)
both = pytest.mark.parametrize('settings', [FLAT, PYRAMID], ids=['flat', 'pyramid'])

# name, classes, input (C, H, W), parameters / 1e6, multiplications of a step / 1e9 and
# those without the offset term of LS-SSA
SIZES = [
    ('cifar', 10, (3, 32, 32), '9.33', '0.924', '0.923'),
    ('cifar', 100, (3, 32, 32), '9.36', '0.924', '0.923'),
    ('tiny', 200, (3, 64, 64), '9.40', '3.70', '3.69'),
    ('tiny-s8', 200, (3, 64, 64), '9.40', '1.06', '1.05'),
    ('dvs', 10, (2, 128, 128), '2.57', '0.375', '0.375'),
    ('ncaltech', 101, (2, 128, 128), '2.59', '0.375', '0.375'),
    ('8-384', 1000, (3, 224, 224), '16.83', '4.68', '4.67'),
    ('8-512', 1000, (3, 224, 224), '29.70', '8.28', '8.27'),
    ('8-768', 1000, (3, 224, 224), '66.36', '18.5', '18.5'),
    ('h-t', 1000, (3, 224, 224), '10.5', '2.02', '2.01'),
    ('h-s', 1000, (3, 224, 224), '23.9', '4.08', '4.07'),
    ('h-b', 1000, (3, 224, 224), '47.3', '9.13', '9.12'),
    ('h-t', 1000, (3, 800, 1333), '10.5', '43.1', '42.9'),
    ('h-s', 1000, (3, 800, 1333), '23.9', '87.4', '87.1'),
    ('h-b', 1000, (3, 800, 1333), '47.3', '195', '195'),
]


def build(**settings) -> LSFormer:
    torch.manual_seed(0)
    return LSFormer(**settings)


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def like(value: float, reference: str) -> str:
    """``value`` with as many decimals as the reference."""
    return f'{value:.{len(reference.partition(".")[2])}f}'


@pytest.mark.parametrize('arch, num_classes, shape, parameters, macs, others', SIZES)
def test_size_and_cost(monkeypatch, arch, num_classes, shape, parameters, macs, others):
    # shapes need no pieces that fit a cache
    monkeypatch.setattr(lsformer_window, 'CPU_BLOCK_ELEMENTS', 2**40)
    monkeypatch.setattr(neurons, 'CPU_CHUNK', 2**40)
    with FakeTensorMode():
        model = LSFormer(
            arch,
            in_channels=shape[0],
            time_steps=1,
            out_indices=(-1,),
            out_type='spike',
        ).eval()
        image = torch.empty(1, *shape)
        report = count_macs(model, lambda: model(image))
    dim = model.out_channels[0]
    total = report.params + num_classes * (dim + 1)
    assert like(total / 1e6, parameters) == parameters
    cost = report.macs + num_classes * dim
    assert like(cost / 1e9, macs) == macs
    offsets = sum(x.macs for x in report.layers if x.name.endswith('rel_bias'))
    assert offsets > 0
    assert like((cost - offsets) / 1e9, others) == others
    windows = [x.macs for x in report.layers if x.operator in ('qk', 'av')]
    depth = sum(model.arch_settings[arch]['depths'])
    assert len(windows) == 2 * depth
    if 'h-' not in arch:  # blocks at one size: two products with each of 9 positions
        side = shape[1] // model.out_strides[0]
        assert sum(windows) == 2 * 9 * dim * side**2 * depth


@pytest.mark.parametrize(
    'arch, strides, channels',
    [
        ('cifar', (1, 1, 2, 4), (96, 192, 384, 384)),
        ('tiny', (1, 1, 2, 4), (96, 192, 384, 384)),
        ('tiny-s8', (1, 2, 4, 8), (96, 192, 384, 384)),
        ('ncaltech', (2, 4, 8, 16), (64, 128, 256, 256)),
        ('8-512', (2, 4, 8, 16), (128, 256, 512, 512)),
        ('h-t', (4, 8, 16, 32), (64, 128, 256, 384)),
    ],
)
def test_taps(arch, strides, channels):
    model = LSFormer(arch)
    assert model.out_strides == strides
    assert model.out_channels == channels


@both
def test_maps_at_odd_sizes(settings):
    model = build(**settings)
    maps = model(image(2, 3, 65, 37))
    for x, channels, stride in zip(
        maps, model.out_channels, model.out_strides, strict=True
    ):
        assert x.shape == (2, channels, -(-65 // stride), -(-37 // stride))
        assert x.isfinite().all()
    assert model.eval()(image(1, 3, 1, 1))[-1].shape == (1, 16, 1, 1)


@both
def test_event_frames(settings):
    # statistics of the last batch, or nothing would fire in evaluation
    norm_cfg = dict(type='BN', momentum=1.0)
    model = build(**settings, in_channels=2, norm_cfg=norm_cfg)
    frames = image(3, 2, 2, 45, 60)
    model(frames)
    model.eval()
    out = model(frames)[-1]
    assert out.shape[:2] == (3, 16)
    assert not torch.equal(out, model(frames.flip(1))[-1])
    still = frames[:, :1].expand(-1, 2, -1, -1, -1)
    for x, y in zip(model(still), model(frames[:, 0]), strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize('spool', SPOOLS)
def test_every_pooling_and_its_window(spool):
    model = build(**PYRAMID, spool=spool, spool_size=2)
    pools = [m for m in model.modules() if isinstance(m, SPooling)]
    assert [(p.spool, p.kernel_size) for p in pools] == [(spool, 2)] * 4
    x = image(2, 3, 33, 40).requires_grad_()
    sum(y.square().sum() for y in model(x)).backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.parameters())


def test_mixers_per_stage():
    model = build(**PYRAMID, attn=('none', 'ls', 'ls', 'global'))
    mixers = [type(stage.blocks[0].attn.layer) for stage in model.stages]
    assert mixers == [LocalMixer, LSSSA, LSSSA, SSA]
    sum(y.square().sum() for y in model(image(2, 3, 33, 40))).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert {
        type(s.blocks[0].attn.layer) for s in build(**PYRAMID, attn='global').stages
    } == {SSA}


def test_dilations_and_window():
    def read(**kwargs) -> list[tuple]:
        layers = [m for m in build(**kwargs).modules() if isinstance(m, LSSSA)]
        return [(layer.dilations, layer.window_size) for layer in layers]

    assert read(**PYRAMID) == [((1, 2), 3)] + [((1, 2, 3, 4), 3)] * 3
    assert read(**PYRAMID, dilations=(1,), window_size=5) == [((1,), 5)] * 4
    rates = ((1,), (2,), (3,), (4, 5))
    assert read(**PYRAMID, dilations=rates) == [(r, 3) for r in rates]
    assert read(**FLAT, dilations=(1, 3)) == [((1, 3), 3)] * 2


def test_options_of_the_attention():
    model = build(**FLAT, rel_bias=False, learn_scale=True)
    layers = [m for m in model.modules() if isinstance(m, LSSSA)]
    assert all(layer.rel_bias is None for layer in layers)
    assert all(layer.scale.shape == (4,) for layer in layers)
    scales = dict(model.named_parameters())
    # one-dimensional, so that flat_decay_mult=0 keeps weight decay off
    assert sum(name.endswith(('scale', 'gain')) for name in scales) == 2 + 4
    model(image(2, 3, 64, 64))[-1].square().sum().backward()
    assert all(layer.scale.grad is not None for layer in layers)


@pytest.mark.parametrize('shortcut', ['ms', 'sew'])
@pytest.mark.parametrize('neuron', ['LIF', 'PLIF', 'IntegerLIF'])
def test_every_convolution_but_the_first_reads_spikes(shortcut, neuron):
    levels = 4 if neuron == 'IntegerLIF' else 1
    model = build(**PYRAMID, shortcut=shortcut, neuron_cfg=dict(type=neuron))
    inputs = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda m, args, out, name=name: inputs.update({name: args[0]})
            )
    model(image(2, 3, 64, 64))
    stem = inputs.pop('stem.conv')
    assert stem.shape[0] == 2  # once per image, not once per step
    for name, x in inputs.items():
        counts = x * levels
        assert torch.equal(counts, counts.round()), name
        assert counts.min() >= 0, name
        if shortcut == 'ms':
            assert counts.max() <= levels, name
    assert all(x.shape[0] == 4 for x in inputs.values())


@pytest.mark.parametrize('shortcut', ['ms', 'sew'])
def test_out_types(shortcut):
    settings = dict(**PYRAMID, shortcut=shortcut, out_mode='sequence')
    membrane, spike, norm = (
        build(**settings, out_type=out_type)
        for out_type in ('membrane', 'spike', 'norm')
    )
    weights = norm.state_dict()
    shared = {k: v for k, v in weights.items() if not k.startswith('out_layers')}
    assert len(weights) - len(shared) == 4 * 5
    for model in (membrane, spike):
        model.load_state_dict(shared)
    x = image(2, 3, 64, 64)
    maps = {m: m(x) for m in (membrane, spike, norm)}
    for plain, fired, normed in zip(*maps.values(), strict=True):
        assert plain.shape == fired.shape == normed.shape
        torch.testing.assert_close(
            normed.mean((0, 2, 3)), torch.zeros(normed.shape[1]), rtol=0, atol=1e-4
        )
        if shortcut == 'sew':
            assert torch.equal(fired, plain)
            assert torch.equal(plain, plain.round()) and plain.max() >= 1
        else:
            assert fired.unique().tolist() == [0, 1]
            assert not torch.equal(plain, plain.round())


@both
@pytest.mark.parametrize('autocast', [False, True])
def test_checkpointing_changes_nothing(settings, autocast):
    model = build(**settings)
    results = []
    for with_cp in (False, True):
        copy = deepcopy(model)
        for stage in copy.stages:
            stage.with_cp = with_cp
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            maps = copy(image(2, 3, 33, 40))
        sum(x.float().square().mean() for x in maps).backward()
        grads = {name: p.grad for name, p in copy.named_parameters()}
        results.append((maps, grads, dict(copy.named_buffers())))
    assert build(**settings, with_cp=True).stages[0].with_cp
    torch.testing.assert_close(*results)


@pytest.mark.parametrize('shortcut', ['ms', 'sew'])
def test_no_layer_starts_silent_or_saturated(shortcut):
    model = build(depths=(1, 1, 1, 1), shortcut=shortcut)
    rates = {}
    for name, module in model.named_modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(
                lambda m, args, out, name=name: rates.update({name: out.mean().item()})
            )
    with torch.no_grad():
        model(image(2, 3, 128, 128))
    assert len(rates) == 4 * 9 + (shortcut == 'sew')
    assert all(0.01 < rate < 0.3 for rate in rates.values()), rates


def test_initial_weights():
    model = build()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[:, 0].numel()
            is_linear = module.kernel_size == (1, 1)
            std = 0.02 if is_linear else (2 / fan_out) ** 0.5
            assert module.bias is None, name
            assert module.weight.std().item() == pytest.approx(std, rel=0.05), name


def test_integer_neurons_send_levels():
    model = build(
        **{**PYRAMID, 'time_steps': 1}, neuron_cfg=dict(type='IntegerLIF', levels=4)
    )
    values = set()
    for module in model.modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(
                lambda m, args, out: values.update((out * 4).unique().tolist())
            )
    model(image(2, 3, 64, 64))
    assert values == {0, 1, 2, 3, 4}


def test_layer_depths():
    model = build(**PYRAMID)
    depths = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert {total for _, total in depths.values()} == {6}
    assert depths['stem.conv.weight'][0] == 0
    assert depths['stages.0.patch_embed.layer.conv.conv.weight'][0] == 0
    assert depths['stages.0.blocks.0.mlp.layer.0.conv.weight'][0] == 1
    assert depths['stages.2.patch_embed.layer.pool.gain'][0] == 3
    assert depths['out_layers.0.weight'][0] == 5
    assert model.get_layer_depth('neck.weight', 'backbone.') == (5, 6)

    flat = build(**FLAT)  # two blocks, all in the last stage
    assert flat.get_layer_depth('stages.1.patch_embed.layer.pool.gain') == (0, 4)
    assert flat.get_layer_depth('stages.3.patch_embed.layer.pool.gain') == (0, 4)
    assert flat.get_layer_depth('stages.3.blocks.1.mlp.layer.0.conv.weight') == (2, 4)


def test_drop_path_rises_over_all_blocks():
    model = build(**{**PYRAMID, 'depths': (1, 0, 2, 1)}, drop_path_rate=0.3)
    rates = [b.drop_path.drop_prob for stage in model.stages for b in stage.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])


def test_frozen_stages_keep_their_output_norm_learning():
    model = build(**PYRAMID, frozen_stages=0)
    fixed = {
        n.split('.')[0] for n, p in model.named_parameters() if not p.requires_grad
    }
    assert fixed == {'stem', 'stages'}
    assert model.out_layers['0'].training and model.out_layers['0'].weight.requires_grad
    assert not model.stages[0].blocks[0].mlp.layer[0].norm.training


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(arch='huge'), "unknown arch 'huge'.*'h-t'"),
        (dict(attn='local'), "expected attn in .*'local'"),
        (dict(attn=('ls', 'ls')), 'one entry per stage.*2'),
        (dict(depths=(1, 1)), 'one entry per stage'),
        (dict(shortcut='cut'), 'expected shortcut in'),
        (dict(out_type='rate'), 'expected out_type in'),
        (dict(spool='mean'), 'expected spool in'),
        (dict(window_size=4), 'odd window_size'),
        (dict(dilations=(1, 0)), 'dilations of integers >= 1'),
        (dict(dilations=(1.0, 2.0)), 'dilations of integers >= 1'),
        (dict(dilations=2), 'dilations to be integers'),
        (dict(dilations=((1, 2), 3, 3, 3)), 'tuple of dilations for every stage'),
        (dict(dilations=(1, 2, 3)), 'multiple of the number of dilations'),
        (dict(num_heads=(3, 4, 4, 4)), 'multiple|divide'),
        (dict(embed_dims=(9, 16, 16, 16)), 'even first width'),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        LSFormer(**{**PYRAMID, **changes})


def test_arch_dict():
    settings = dict(LSFormer.arch_settings['h-t'], depths=(1, 0, 1))
    for key in ('embed_dims', 'pools', 'num_heads', 'dilations'):
        settings[key] = settings[key][:3]
    model = LSFormer(settings, out_indices=(0, 2))
    assert model.out_strides == (4, 16)
    assert len(model.block_prefixes()) == 2


@pytest.mark.parametrize('name', CONFIGS)
def test_gains_do_not_decay(load_config, name):
    cfg = load_config(name)
    model = nn.Module()
    model.backbone = MODELS.build(cfg.model.backbone)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decays = {
        id(p): g['weight_decay'] for g in optimizer.param_groups for p in g['params']
    }
    for key, parameter in model.named_parameters():
        assert (decays[id(parameter)] == 0) == (parameter.ndim == 1), key


def test_runs_on_the_meta_device():
    with torch.device('meta'):
        model = LSFormer(**PYRAMID)
        assert model(torch.empty(1, 3, 64, 64))[0].shape == (1, 8, 16, 16)
