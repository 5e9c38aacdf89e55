"""What a training is tuned with works for every task and its neurons.

Mixed precision, gradient checkpointing, EMA, SyncBN, and two rules for the learning
rate, on the small configs of the three tasks.
"""

from collections.abc import Callable

import pytest
import torch
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from snndense.engine import run_config
from snndense.models.layers.neurons import SpikingNeuron
from snndense.utils import cli

from .conftest import TASKS

each_task = pytest.mark.parametrize('task', TASKS)


@pytest.fixture
def make_runner(tiny_configs, tmp_path) -> Callable[..., Runner]:
    """A runner of the tiny config of a task, for two iterations without validation."""

    def make(task: str, prepare: Callable = lambda cfg: None, **options) -> Runner:
        pytest.importorskip(TASKS[task][0])
        cfg = cli.read_config(str(tiny_configs[task]))
        cfg.work_dir = str(tmp_path / str(len(list(tmp_path.iterdir()))))
        cfg.experiment_name = f'{tmp_path.name}_{cfg.work_dir[-1]}'
        cfg.train_cfg.max_iters = 2
        run_config.disable_validation(cfg)
        run_config.set_dataloaders(cfg)
        cfg.merge_from_dict(options)
        prepare(cfg)
        return Runner.from_cfg(cfg)

    return make


def weights(runner: Runner) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in runner.model.state_dict().items()}


def training_batch(runner: Runner) -> dict:
    batch = next(iter(runner.train_dataloader))
    return runner.model.data_preprocessor(batch, training=True)


@each_task
def test_gradient_checkpointing_learns_the_same(make_runner, task):
    results, calls = [], []
    for with_cp in (False, True):
        runner = make_runner(task, **{'model.backbone.with_cp': with_cp})
        block = runner.model.backbone.stages[1].blocks[0]
        block.register_forward_pre_hook(lambda *_: calls.append(1))
        runner.train()
        results.append((weights(runner), len(calls)))
        calls.clear()
    (plain, once), (checkpointed, twice) = results
    assert twice == 2 * once == 4  # again in the backward pass of both iterations
    for name, value in plain.items():
        torch.testing.assert_close(checkpointed[name], value, msg=name)


@each_task
def test_ema_is_what_gets_saved(make_runner, task, tmp_path):
    momentum = 0.25
    hook = dict(type='EMAHook', momentum=momentum)
    saving = {'default_hooks.checkpoint.interval': 1}
    runner = make_runner(task, custom_hooks=[hook], **saving)
    runner.train()
    first, last = (
        torch.load(f'{runner.work_dir}/iter_{i}.pth', weights_only=False)
        for i in (1, 2)
    )
    assert set(first['state_dict']) == set(runner.model.state_dict())
    for name, parameter in runner.model.named_parameters():
        start, end = first['state_dict'][name], last['ema_state_dict'][f'module.{name}']
        torch.testing.assert_close(end, parameter.detach())
        average = start.lerp(end, momentum)
        torch.testing.assert_close(last['state_dict'][name], average, msg=name)


@each_task
def test_conversion_to_sync_bn(make_runner, task):
    runner = make_runner(task)
    model = runner.model
    batch = training_batch(runner)
    model(**batch, mode='loss')  # moves the running statistics
    before = weights(runner)
    expected = model.eval()(batch['inputs'], mode='tensor')
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    model = convert_sync_batchnorm(model, 'torch')
    converted = [m for m in model.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert len(converted) == len(norms) > 0
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in before.items()
    }
    same_outputs(model.eval()(batch['inputs'], mode='tensor'), expected)
    model = revert_sync_batchnorm(model)
    same_outputs(model.eval()(batch['inputs'], mode='tensor'), expected)


def same_outputs(found: object, expected: object) -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
        return
    assert len(found) == len(expected) > 0
    for x, y in zip(found, expected, strict=True):
        same_outputs(x, y)


@each_task
def test_learning_rate_follows_the_batch_size(make_runner, task):
    runner = make_runner(task, run_config.enable_auto_scale_lr)
    runner.train()
    # 1e-3 is for batches of 8; one process trains on 2 at a time
    rates = {group['lr'] for group in runner.optim_wrapper.param_groups}
    assert rates == {1e-3 * 2 / 8}


@each_task
def test_layer_wise_decay(make_runner, task):
    rate, double = 0.5, {'neck': dict(lr_mult=2.0)}
    wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
        constructor='snndense.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(
            layer_decay_rate=rate, norm_decay_mult=0.0, custom_keys=double
        ),
    )
    model = make_runner(task).model
    groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
    rates = {group['param_name']: group['lr'] for group in groups}
    assert set(rates) == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, lr in rates.items():
        depth, layers = model.backbone.get_layer_depth(name, 'backbone.')
        factor = rate ** (layers - 1 - depth) * (2 if name.startswith('neck') else 1)
        assert lr == pytest.approx(1e-3 * factor), name
    backbone = {lr for name, lr in rates.items() if name.startswith('backbone.')}
    # stem, and as many blocks as the taps need
    assert len(backbone) == 1 + model.backbone.num_stages and max(backbone) < 1e-3
    assert {0.0, 0.05} == {group['weight_decay'] for group in groups}


def test_layer_wise_decay_of_a_classifier_is_mmpretrains(make_runner):
    model = make_runner('cls').model
    rates = []
    for constructor in ('snndense.LayerDecay', 'mmpretrain.LearningRateDecay'):
        wrapper = dict(
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
            constructor=f'{constructor}OptimWrapperConstructor',
            paramwise_cfg=dict(
                layer_decay_rate=0.5, norm_decay_mult=0.0, flat_decay_mult=0.0
            ),
        )
        groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
        rates.append({g['param_name']: (g['lr'], g['weight_decay']) for g in groups})
    assert rates[0] == rates[1]


def test_layer_wise_decay_checks_what_it_needs(make_runner):
    wrapper = dict(
        optimizer=dict(type='AdamW', lr=1e-3),
        constructor='snndense.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=1.5),
    )
    model = make_runner('det').model
    with pytest.raises(ValueError, match='up to 1, but got 1.5'):
        build_optim_wrapper(model, wrapper)
    wrapper['paramwise_cfg'] = dict(layer_decay_rate=0.5)
    with pytest.raises(TypeError, match='Conv2d with NoneType'):
        build_optim_wrapper(nn.Conv2d(1, 1, 1), wrapper)


@each_task
def test_half_precision_keeps_spikes_whole(make_runner, task):
    runner = make_runner(task)
    model, spikes, dtypes = runner.model.train(), [], set()
    for module in model.modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(lambda m, _, out: spikes.append(m.norm * out))
        elif isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, out: dtypes.add(out.dtype))
    batch = training_batch(runner)
    with torch.autocast('cpu', torch.bfloat16):
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss) and dtypes == {torch.bfloat16}
    assert spikes and all(torch.equal(x, x.round()) for x in spikes)
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32, name
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason='--amp trains on a GPU')
@each_task
def test_amp_on_a_gpu(make_runner, task):
    runner = make_runner(task, run_config.enable_amp)
    runner.train()
    assert type(runner.optim_wrapper).__name__ == 'AmpOptimWrapper'
    assert all(torch.isfinite(x).all() for x in weights(runner).values())
