"""What every registered backbone promises: arguments, maps, state."""

from copy import deepcopy
from math import ceil

import pytest
import torch

from snndense.models.layers import IntegerLIF, SpikingNeuron
from snndense.registry import MODELS

from .tiny_backbones import (
    BACKBONES,
    TINY,
    all_taps,
    assert_equal,
    build,
    each_backbone,
    each_case,
    pictures,
    some_case,
)

STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


@each_backbone
def test_has_a_tiny_setting(name):
    assert TINY.get(name), f'add a tiny setting for {name} to TINY in tiny_backbones.py'


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
    model = MODELS.build({'type': f'snndense.{name}', **TINY[name][variant]})
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
    for key in ('embed_dims', 'depths', 'num_heads', 'mlp_ratio', 'patch_sizes'):
        if key in settings:
            is_single = isinstance(settings[key], int)
            for value in (-1, 2.0, (2,)) if is_single else (2, (2.0,), (-1,)):
                with pytest.raises(ValueError, match=f'expected {key} of {name}'):
                    backbone({**settings, key: value})
    for wrong, message in {
        'out_indices': ((), (0, 9), (-9,), (0, 0)),
        'out_mode': ('spikes',),
        'time_steps': (0, 1.5, True),
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


@each_backbone
def test_export(name):
    model = build(some_case(name)).eval()
    x = pictures(33, 40)
    with torch.no_grad():
        program = torch.export.export(model, (x,))
        assert_equal(program.module()(x), model(x))


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
