"""What every registered backbone promises.

A new family is covered as soon as it is registered; it only has to name a tiny
setting in ``TINY``.
"""

from copy import deepcopy
from functools import cache
from math import ceil

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snndense.models.backbones import SpikingBackbone
from snndense.models.layers import DropPath, IntegerLIF, SpikingNeuron
from snndense.registry import MODELS

META_SDT = dict(arch='t', embed_dims=(8, 8, 16, 24), num_heads=2, mlp_ratio=2)
LSFORMER = dict(
    arch='h-t', embed_dims=(16, 16, 32, 32), depths=(1, 1, 2, 1), num_heads=(2, 4, 4, 4)
)
SPIKING_RESFORMER = dict(
    arch='ti',
    embed_dims=(8, 16, 32),
    depths=(1, 1, 2),
    num_heads=(1, 2, 4),
    group_size=8,
)
SPIKFORMER = dict(embed_dims=16, depths=2, num_heads=2, mlp_ratio=2, time_steps=2)

# class name -> variant -> arguments; one block more than one somewhere, few channels
TINY = {
    'MetaSDT': {
        'conv': dict(META_SDT, depths=(1, 1, 1, 2, 1)),
        'mlpixer': dict(META_SDT, depths=(1, 1, 2, 1, 1), mixer='mlpixer'),
        'srb': dict(META_SDT, depths=(1, 1, 2, 1, 1), mixer='srb'),
        # a factor so small that many tokens don't saturate
        'attention': dict(
            META_SDT, depths=(1, 1, 2, 1, 1), mixer='attention', attn_factor=0.2
        ),
        'layer_scale': dict(
            META_SDT, depths=(1, 1, 1, 1, 1), layer_scale_init_value=0.5
        ),
        't2': dict(META_SDT, depths=(1, 1, 1, 1, 1), mixer='srb', time_steps=2),
        'v2': dict(
            META_SDT, arch='v2_15m', depths=(1, 1, 1, 1, 1), mlp_ratio=4, time_steps=2
        ),
    },
    'LSFormer': {
        'ls': dict(LSFORMER, time_steps=2),
        'flat': dict(LSFORMER, arch='dvs', depths=(0, 0, 0, 3), time_steps=2),
        'global_sew': dict(
            LSFORMER, attn='global', shortcut='sew', spool='max', time_steps=2
        ),
        'integer': dict(LSFORMER, time_steps=1, neuron_cfg=dict(type='IntegerLIF')),
    },
    'Spikformer': {
        'imagenet': dict(SPIKFORMER, arch='8_384'),
        'cifar': dict(SPIKFORMER, arch='cifar_2_384'),
        'dvs': dict(SPIKFORMER, arch='dvs_2_256', in_channels=3),
    },
    'SpikingResformer': {
        'ti': dict(SPIKING_RESFORMER, time_steps=2),
        'plif': dict(
            SPIKING_RESFORMER, time_steps=2, neuron_cfg=dict(type='PLIF', alpha=2.0)
        ),
    },
}

MODELS.import_from_location()
BACKBONES = {
    name: module
    for name, module in MODELS.module_dict.items()
    if issubclass(module, SpikingBackbone)
}
CASES = [(name, variant) for name in BACKBONES for variant in TINY.get(name, {})]
each_backbone = pytest.mark.parametrize('name', BACKBONES)
each_case = pytest.mark.parametrize('case', CASES, ids='-'.join)

STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def build(case: tuple, **overrides) -> SpikingBackbone:
    """A backbone that spikes everywhere, in evaluation too.

    A fresh one does not: its batch norms have seen no picture, and behind an attention
    of few tokens, whose currents are small, no neuron reaches its threshold.
    """
    torch.manual_seed(0)
    name, variant = case
    model = MODELS.build({'type': name, **TINY[name][variant], **overrides})
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.ones_(norm.bias)
    with torch.no_grad():
        model(pictures())
    for norm in norms:
        norm.momentum = 0.1
    return model


@cache
def pictures(height: int = 65, width: int = 97, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randn(batch, 3, height, width, generator=generator) * 2


def some_case(name: str) -> tuple:
    return name, next(iter(TINY[name]))


def all_taps(case: tuple) -> tuple[int, ...]:
    name, variant = case
    last = MODELS.build({'type': name, **TINY[name][variant], 'out_indices': -1})
    return tuple(range(last.out_indices[0] + 1))


def assert_equal(outputs: tuple, expected: tuple) -> None:
    assert len(outputs) == len(expected)
    for x, y in zip(outputs, expected, strict=True):
        assert torch.equal(x, y)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: None if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def step(model: SpikingBackbone, x: Tensor) -> tuple[Tensor, ...]:
    """Forward and backward with fixed random numbers."""
    torch.manual_seed(1)
    outputs = model(x)
    torch.autograd.backward(outputs, [torch.randn_like(y) for y in outputs])
    return outputs


@each_backbone
def test_has_a_tiny_setting(name):
    assert TINY.get(name), f'add a tiny setting for {name} to TINY in {__file__}'


@each_backbone
def test_every_named_size_can_be_built(name):
    for arch in BACKBONES[name].arch_settings:
        with torch.device('meta'):
            model = BACKBONES[name](arch)
        assert len(model.out_channels) == len(model.out_indices)


@each_case
@pytest.mark.parametrize('size', [(65, 97), (64, 32), (3, 2)])
def test_shapes_are_as_told(case, size):
    model = build(case, out_indices=all_taps(case)).eval()
    with torch.no_grad():
        outputs = model(pictures(*size))
    assert isinstance(outputs, tuple)
    told = [
        (2, channels, ceil(size[0] / stride), ceil(size[1] / stride))
        for channels, stride in zip(model.out_channels, model.out_strides, strict=True)
    ]
    assert [x.shape for x in outputs] == told
    assert all(x.isfinite().all() for x in outputs)


@each_case
def test_evaluation_is_alive(case):
    # or the comparisons below would compare zeros
    outputs = build(case).eval()(pictures())
    assert all(x.std((2, 3)).mean() > 0.1 for x in outputs)


@each_case
def test_any_size_at_any_time(case):
    model = build(case).eval()
    with torch.no_grad():
        first = model(pictures())
        model(pictures(40, 24))
        assert_equal(model(pictures()), first)


@each_case
def test_samples_are_independent(case):
    model = build(case, out_mode='sequence').eval()
    steps = model.time_steps
    with torch.no_grad():
        together = model(pictures())
        apart = [model(x[None]) for x in pictures()]
    for index, x in enumerate(together):
        x = x.unflatten(0, (steps, -1))
        for sample in range(2):
            torch.testing.assert_close(x[:, sample], apart[sample][index])


@each_case
def test_two_training_steps_from_the_same_weights_are_equal(case):
    model = build(case, drop_path_rate=0.2)
    start = deepcopy(model.state_dict())
    outputs = step(model, pictures())
    grads = gradients(model)
    model.load_state_dict(start)
    model.zero_grad()
    assert_equal(step(model, pictures()), outputs)
    again = gradients(model)
    assert all(torch.equal(again[name], grad) for name, grad in grads.items())


@each_case
def test_input_and_every_parameter_receive_gradient(case):
    model = build(case)
    x = pictures().clone().requires_grad_(True)
    step(model, x)
    assert x.grad.isfinite().all() and x.grad.count_nonzero() > 0
    for name, grad in gradients(model).items():
        assert grad is not None, name
        assert grad.isfinite().all(), name
        assert grad.count_nonzero() > 0, name


@each_case
def test_checkpointing_changes_nothing(case):
    plain = build(case)
    saving = build(case, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    # other pictures than in build, so that every running statistic moves: once, not
    # twice
    x, again = (pictures(60, 90).clone().requires_grad_(True) for _ in range(2))
    assert_equal(step(saving, again), step(plain, x))
    assert torch.equal(x.grad, again.grad)
    grads = gradients(saving)
    for name, grad in gradients(plain).items():
        assert torch.equal(grads[name], grad), name
    buffers = dict(saving.named_buffers())
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffers[name], buffer), name


@each_case
def test_checkpointing_saves_memory(case):
    def kept(with_cp: bool) -> int:
        sizes = []
        model = build(case, with_cp=with_cp)
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.append(x.nbytes) or x, lambda x: x
        )
        with hooks:
            model(pictures())
        return sum(sizes)

    assert kept(with_cp=True) < 0.5 * kept(with_cp=False)


@each_backbone
def test_frozen_stages(name):
    case = some_case(name)
    last = max(all_taps(case))
    for frozen_stages in range(-1, last + 1):
        model = build(case, frozen_stages=frozen_stages, out_indices=all_taps(case))
        model.eval()
        model.train()
        stages = [model.stage_modules(index) for index in range(frozen_stages + 1)]
        fixed = [module for stage in stages for module in stage]
        fixed_parameters = {id(p) for module in fixed for p in module.parameters()}
        for p in model.parameters():
            assert p.requires_grad == (id(p) not in fixed_parameters)
        buffers = [b.clone() for module in fixed for b in module.buffers()]
        model(pictures())
        after = [b for module in fixed for b in module.buffers()]
        assert all(torch.equal(b, a) for b, a in zip(buffers, after, strict=True))
    parameters = dict(model.named_parameters())
    early = [p for n, p in parameters.items() if model.get_layer_depth(n)[0] == 0]
    assert early and not any(p.requires_grad for p in early)


@each_backbone
def test_norm_eval(name):
    model = build(some_case(name), norm_eval=True)
    model.eval()
    model.train()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    model(pictures())
    assert all(
        torch.equal(norm.running_mean, mean)
        for norm, mean in zip(norms, before, strict=True)
    )
    assert all(p.requires_grad for p in model.parameters())
    assert model.training


@each_case
def test_out_indices_select_from_all_taps(case):
    taps = all_taps(case)
    model = build(case, out_indices=taps).eval()
    with torch.no_grad():
        full = model(pictures())
    some = [(index,) for index in taps] + [taps[::-1], (taps[-1], taps[0])]
    for out_indices in some:
        part = build(case, out_indices=out_indices).eval()
        # stages that nobody reads don't exist
        wanted = part.state_dict().keys()
        weights = {k: v for k, v in model.state_dict().items() if k in wanted}
        part.load_state_dict(weights)
        with torch.no_grad():
            assert_equal(part(pictures()), tuple(full[i] for i in out_indices))
        assert part.out_channels == tuple(model.out_channels[i] for i in out_indices)
        assert part.out_strides == tuple(model.out_strides[i] for i in out_indices)


@each_backbone
def test_negative_out_indices_count_from_the_end(name):
    case = some_case(name)
    with torch.no_grad():
        last = build(case, out_indices=(-1, -2)).eval()
        num_taps = last.out_indices[0] + 1
        same = build(case, out_indices=(num_taps - 1, num_taps - 2)).eval()
        assert_equal(last(pictures()), same(pictures()))


@each_case
def test_mean_is_the_mean_of_the_sequence(case):
    mean = build(case).eval()
    sequence = build(case, out_mode='sequence').eval()
    steps = mean.time_steps
    with torch.no_grad():
        pairs = zip(mean(pictures()), sequence(pictures()), strict=True)
    for x, x_seq in pairs:
        assert x_seq.shape == (steps * 2, *x.shape[1:])
        torch.testing.assert_close(x_seq.unflatten(0, (steps, 2)).mean(0), x)


@each_case
def test_a_still_picture_as_event_frames(case):
    model = build(case, out_mode='sequence').eval()
    frames = pictures()[:, None].repeat(1, model.time_steps, 1, 1, 1)
    with torch.no_grad():
        pairs = zip(model(frames), model(pictures()), strict=True)
    for of_frames, of_picture in pairs:
        torch.testing.assert_close(of_frames, of_picture)


@each_backbone
def test_event_frames_are_taken_in_order(name):
    model = build(some_case(name), time_steps=2, out_mode='sequence').eval()
    frames = torch.stack([pictures(), pictures().flip(3)], 1)  # (N, T, C, H, W)
    with torch.no_grad():
        forward, backward = model(frames), model(frames.flip(1))
        first = model(frames[:, :1].repeat(1, 2, 1, 1, 1))
    for x, y, still in zip(forward, backward, first, strict=True):
        # what the second step shows cannot reach the first
        torch.testing.assert_close(x[:2], still[:2])
        assert not torch.equal(x[:2], y[:2])


@each_backbone
def test_wrong_inputs_are_refused(name):
    model = build(some_case(name), time_steps=2)
    with pytest.raises(ValueError, match='3 steps.*time_steps=2'):
        model(torch.zeros(1, 3, 3, 16, 16))
    for shape in [(1, 4, 16, 16), (3, 16, 16), (1, 2, 1, 16, 16)]:
        with pytest.raises(ValueError, match=r'images \(N, 3, H, W\)'):
            model(torch.zeros(shape))


@each_case
def test_untrained_evaluation_is_finite(case):
    name, variant = case
    model = MODELS.build({'type': name, **TINY[name][variant]})
    model.init_weights()
    model.eval()
    with torch.no_grad():
        outputs = model(pictures())
    assert all(x.isfinite().all() for x in outputs)


@each_backbone
def test_wrong_settings_are_refused(name):
    backbone = BACKBONES[name]
    with pytest.raises(ValueError, match='unknown arch') as error:
        backbone('huge')
    assert all(repr(arch) in str(error.value) for arch in backbone.arch_settings)
    settings = next(iter(backbone.arch_settings.values()))
    with pytest.raises(ValueError, match='keys'):
        backbone({**settings, 'width': 3})
    with pytest.raises(ValueError, match='keys'):
        backbone({key: settings[key] for key in list(settings)[1:]})
    with pytest.raises(TypeError, match='arch'):
        backbone(64)
    for wrong, message in {
        'out_indices': ((), (0, 9), (-9,), (0, 0)),
        'out_mode': ('spikes',),
        'time_steps': (0, 1.5),
        'frozen_stages': (-2, 9),
    }.items():
        for value in message:
            with pytest.raises(ValueError, match=wrong):
                build(some_case(name), **{wrong: value})
    with pytest.raises(ValueError, match='unknown neuron type'):
        build(some_case(name), neuron_cfg=dict(type='ReLU'))
    with pytest.raises(TypeError, match='levles'):
        build(some_case(name), neuron_cfg=dict(type='IntegerLIF', levles=4))
    with pytest.raises(ValueError, match='norm_cfg'):
        build(some_case(name), norm_cfg=dict(type='LN'))


@each_backbone
def test_arch_as_dict(name):
    arch, settings = next(iter(BACKBONES[name].arch_settings.items()))
    before = deepcopy(settings)
    with torch.device('meta'):
        by_name = BACKBONES[name](arch).state_dict()
        by_dict = BACKBONES[name](settings).state_dict()
    assert by_dict.keys() == by_name.keys()
    assert all(by_dict[key].shape == value.shape for key, value in by_name.items())
    assert settings == before


@each_backbone
@pytest.mark.parametrize('neuron', ('IntegerLIF', 'LIF', 'PLIF', 'IF'))
def test_every_neuron_fits(name, neuron):
    neuron_cfg = dict(type=f'snndense.{neuron}', v_threshold=0.5)
    model = build(some_case(name), neuron_cfg=neuron_cfg, time_steps=2)
    assert neuron_cfg == dict(type=f'snndense.{neuron}', v_threshold=0.5)
    outputs = step(model, pictures(33, 40))
    assert all(x.isfinite().all() for x in outputs)
    learned = [g for n, g in gradients(model).items() if n.endswith('.w')]
    assert bool(learned) == (neuron == 'PLIF')
    assert all(grad is not None and grad.isfinite() for grad in learned)


@each_case
def test_state_dict_holds_parameters_and_running_statistics(case):
    model = build(case)
    before = deepcopy(model.state_dict())
    parameters = dict(model.named_parameters())
    statistics = before.keys() - parameters.keys()
    for key in statistics:
        path, _, leaf = key.rpartition('.')
        of_heads = type(model.get_submodule(path)).__name__ == 'FiringRate'
        assert leaf in STATISTICS or of_heads, key
    model.eval()
    with torch.no_grad():
        outputs = model(pictures())
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    other = build(case)
    for p in other.parameters():
        p.data.add_(1)
    other.load_state_dict(after)
    with torch.no_grad():
        assert_equal(other.eval()(pictures()), outputs)


@each_case
def test_no_tensor_outlives_a_call(case):
    model = build(case)
    step(model, pictures())
    for module in model.modules():
        if isinstance(module, SpikingNeuron):
            assert not list(module.buffers())
        for value in vars(module).values():
            assert not isinstance(value, Tensor)


@each_backbone
def test_copies_and_moving_averages(name):
    model = build(some_case(name)).eval()
    averaged = ExponentialMovingAverage(model, momentum=0.5)
    with torch.no_grad():
        before = model(pictures())
        assert_equal(deepcopy(model)(pictures()), before)
        for p in model.parameters():
            p.mul_(0.5)
        averaged.update_parameters(model)  # the first time it copies
        for p in model.parameters():
            p.mul_(2)
        averaged.update_parameters(model)
        pairs = zip(averaged.module.parameters(), model.parameters(), strict=True)
        assert all(torch.allclose(mine, p * 0.75) for mine, p in pairs)
        assert_equal(model(pictures()), before)


@each_backbone
def test_export(name):
    model = build(some_case(name)).eval()
    x = pictures(33, 40)
    with torch.no_grad():
        program = torch.export.export(model, (x,))
        assert_equal(program.module()(x), model(x))


@each_case
def test_mixed_precision(case):
    model = build(case)
    with torch.autocast('cpu', torch.bfloat16):
        outputs = model(pictures())
    torch.autograd.backward(outputs, [torch.randn_like(x) for x in outputs])
    assert all(x.isfinite().all() for x in outputs)
    assert all(grad.isfinite().all() for grad in gradients(model).values())
    assert all(grad.dtype == torch.float32 for grad in gradients(model).values())


@each_case
def test_double_precision_and_channels_last(case):
    model = build(case).double().eval()
    x = pictures().double()
    with torch.no_grad():
        expected = model(x)
        model.to(memory_format=torch.channels_last)
        outputs = model(x.to(memory_format=torch.channels_last))
    for y, wanted in zip(outputs, expected, strict=True):
        assert y.dtype == torch.float64
        torch.testing.assert_close(y, wanted)


@each_case
def test_layer_depths_rise_from_input_to_output(case):
    model = build(case)
    blocks = model.block_prefixes()
    depths = []
    for name, _ in model.named_parameters():
        depth, num_layers = model.get_layer_depth(f'backbone.{name}', 'backbone.')
        assert num_layers == len(blocks) + 2
        assert 0 <= depth < num_layers
        depths.append(depth)
    assert depths == sorted(depths) and depths[0] == 0
    names = [name for name, _ in model.named_parameters()]
    first_of_block = [
        model.get_layer_depth(next(name for name in names if name.startswith(block)))
        for block in blocks
    ]
    assert [depth for depth, _ in first_of_block] == list(range(1, len(blocks) + 1))
    assert model.get_layer_depth('head.weight', 'backbone.') == (
        num_layers - 1,
        num_layers,
    )


@each_case
def test_drop_path_drops_whole_samples(case):
    name, variant = case
    steps = max(TINY[name][variant].get('time_steps', 2), 2)
    model = build(case, drop_path_rate=0.5, time_steps=steps)
    layers = [m for m in model.modules() if isinstance(m, DropPath)]
    rates = [layer.drop_prob for layer in layers]
    assert rates == sorted(rates) and rates[0] == 0 and rates[-1] == 0.5
    calls = []
    for layer in layers:
        layer.register_forward_hook(lambda m, args, y: calls.append((m, args[0], y)))
    model(pictures(batch=2).repeat(8, 1, 1, 1))
    assert len(calls) >= len(layers)
    dropped = kept = 0
    for layer, x, y in calls:
        x, y = (z.detach().unflatten(0, (steps, 16)) for z in (x, y))
        for sample in range(16):
            is_kept = torch.allclose(y[:, sample], x[:, sample] / (1 - layer.drop_prob))
            is_dropped = not y[:, sample].any()
            assert is_kept or is_dropped
            if layer.drop_prob > 0:
                dropped, kept = dropped + (not is_kept), kept + (not is_dropped)
    assert dropped > 0 and kept > 0
    model.eval()
    with torch.no_grad():
        undropped = build(case, time_steps=steps)
        undropped.load_state_dict(model.state_dict())
        assert_equal(model(pictures()), undropped.eval()(pictures()))


@each_case
def test_integers_times_a_quarter_reach_the_weights(case):
    # what makes it a spiking network: neurons emit multiples of 1 / norm in [0, ...]
    model = build(case).eval()
    seen = []
    for module in model.modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(lambda m, args, y: seen.append((m, y)))
    with torch.no_grad():
        model(pictures(33, 40))
    assert seen
    for neuron, y in seen:
        count = y * neuron.norm
        assert torch.equal(count, count.round())
        assert count.min() >= 0 and count.max() <= neuron.levels
        assert isinstance(neuron, IntegerLIF) or neuron.levels == 1
