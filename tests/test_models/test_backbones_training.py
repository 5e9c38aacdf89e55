"""What every registered backbone promises while it is trained."""

from copy import deepcopy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from snndense.models.layers import DropPath, SpikingNeuron

from .tiny_backbones import (
    TINY,
    all_taps,
    assert_equal,
    build,
    each_backbone,
    each_case,
    gradients,
    pictures,
    some_case,
    step,
)


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


@each_backbone
@pytest.mark.parametrize('levels', [1, 4])
def test_compiled_gradients(name, levels):
    cfg = dict(neuron_cfg=dict(type='IntegerLIF', levels=4), time_steps=1)
    plain, other = (
        build(some_case(name), **(cfg if levels > 1 else {})) for _ in range(2)
    )
    x = pictures(33, 40)
    expected = step(plain, x)
    # tracing is what may fail; generating code for the CPU takes minutes
    outputs = step(torch.compile(other, backend='eager'), x)
    torch.testing.assert_close(outputs, expected)
    grads = gradients(other)
    for key, grad in gradients(plain).items():
        error = (grads[key] - grad).abs().max()
        assert error <= 1e-4 * grad.abs().max(), key


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
def test_half_precision(case):
    model = build(case).bfloat16()
    outputs = model.eval()(pictures(33, 40).bfloat16())
    assert all(x.dtype == torch.bfloat16 and x.isfinite().all() for x in outputs)


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
