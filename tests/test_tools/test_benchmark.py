"""Time and peak memory, side by side. What they are is the machine's business."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from snndense.studies.benchmark import (
    Measurement,
    defines_patch,
    measure,
    num_steps,
)
from snndense.studies.benchmark_worker import Contender, Workload
from snndense.utils.synthetic import input_shape, synthetic_batch

from .conftest import ROOT, TASKS

BENCHMARK = 'analysis_tools/benchmark.py'
REFERENCE = ROOT / 'tests/reference/quadratic_attention.py'

# changes nothing but what a step needs
GREEDY = """
import torch

def patch(model):
    def hook(module, args, outputs):
        torch.ones(64 * 2**20)

    model.register_forward_hook(hook)
"""


@pytest.fixture
def backbone_config(tmp_path):
    pytest.importorskip('mmpretrain')
    path = tmp_path / 'tiny.py'
    backbone = dict(type='snndense.MetaSDT', arch='t', depths=(1, 1, 1, 1, 1))
    model = dict(type='ImageClassifier', backbone=backbone)
    path.write_text(f"default_scope = 'mmpretrain'\nmodel = {model}\n")
    return path


def rows(text: str) -> dict[str, list[str]]:
    lines = [line.split() for line in text.splitlines() if line.endswith('x')]
    return {name: cells for name, *cells in lines}


def test_help(call_tool, capsys):
    assert call_tool(BENCHMARK, '--help') == 0
    text = capsys.readouterr().out
    for flag in ('--shape', '--batch-size', '--train', '--device', '--vs', '--part'):
        assert flag in text


def test_against_a_patch(call_tool, capsys, backbone_config, tmp_path):
    greedy = tmp_path / 'greedy.py'
    greedy.write_text(GREEDY)
    arguments = ('--shape', 48, 64, '--batch', 2, '--train', '--repeat', 2)
    options = ('--warmup', 1, '--cfg-options', 'model.backbone.with_cp=True')
    status = call_tool(BENCHMARK, backbone_config, '--vs', greedy, *arguments, *options)
    assert status is None
    text = capsys.readouterr().out
    assert 'backbone, training, 2 x 48 x 64, cpu' in text
    table = rows(text)
    assert list(table) == ['tiny', 'greedy']
    median, least, rate, peak, time, memory = table['tiny']
    assert 0 < float(least) <= float(median)
    assert float(rate) == pytest.approx(1000 / float(median), rel=0.05)
    assert (time, memory) == ('1.00x', '1.00x')
    # 256 MiB count though they last a moment only; imports don't
    usual, with_greed = float(peak), float(table['greedy'][3])
    assert usual < 200 and with_greed > usual + 220
    assert float(table['greedy'][5][:-1]) == pytest.approx(with_greed / usual, rel=0.1)


def test_a_whole_model_in_evaluation(tiny_configs):
    pytest.importorskip('mmseg')
    steps = []
    (result,) = measure(
        [Contender(str(tiny_configs['seg']))],
        Workload((32, 32), amp=True, fuse_conv_bn=True, part='model'),
        repeat=2,
        warmup=0,
        on_step=lambda: steps.append(1),
    )
    assert result.name == 'tiny_seg'
    assert len(result.seconds) == 2 and min(result.seconds) > 0
    assert len(steps) == num_steps(1, repeat=2, warmup=0)


@pytest.mark.parametrize('training', (False, True))
@pytest.mark.parametrize('task', TASKS)
def test_whole_models_take_made_up_batches(tiny_configs, task, training):
    pytest.importorskip(TASKS[task][0])
    cfg = Config.fromfile(tiny_configs[task])
    init_default_scope(cfg.default_scope)
    try:
        model = MODELS.build(cfg.model).train(training)
        batch = synthetic_batch(model, cfg.default_scope, (48, 64), 2)
        batch = model.data_preprocessor(batch, training)
        outputs = model(**batch, mode='loss' if training else 'predict')
    finally:
        init_default_scope('mmengine')
    if training:
        loss, _ = model.parse_losses(outputs)
        assert loss.isfinite() and loss > 0
    else:
        assert len(outputs) == 2


@pytest.mark.parametrize(
    ('stem', 'packed', 'handed_over'),
    [
        ('cls/spikformer_2-256_cifar10-dvs', (16, 2, 32, 64), (16, 2, 32, 64)),
        ('det/meta_sdt_srb_s_retinanet_gen1', (8, 32, 64), (4, 2, 32, 64)),
    ],
)
def test_models_of_events_get_frames(stem, packed, handed_over):
    pytest.importorskip(dict(cls='mmpretrain', det='mmdet')[stem[:3]])
    try:
        model, scope = Contender(str(ROOT / f'configs/{stem}.py')).build()
        assert input_shape(model, (32, 64)) == handed_over
        batch = synthetic_batch(model, scope, (32, 64), 1)
        assert batch['inputs'][0].shape == packed
        inputs = model.data_preprocessor(batch, False)['inputs']
        assert inputs.shape == (1, *handed_over)
    finally:
        init_default_scope('mmengine')


def test_mistakes_are_answered_in_short(call_tool, backbone_config, tmp_path):
    wrong = tmp_path / 'wrong.py'
    wrong.write_text(backbone_config.read_text().replace("'arch': 't'", "'arch': 'x'"))
    for arguments, message in (
        ((tmp_path / 'none.py',), 'none.py'),
        ((backbone_config, '--vs', tmp_path / 'none.py'), 'none.py'),
        ((backbone_config, '--repeat', 0), 'repeat >= 1'),
        ((backbone_config, '--shape', 0, 32), 'shape=(0, 32)'),
        ((backbone_config, '--train', '--fuse-conv-bn'), 'not for training'),
        ((wrong,), "unknown arch 'x'"),
    ):
        assert message in call_tool(BENCHMARK, *arguments)


def test_config_without_a_backbone(tmp_path):
    pytest.importorskip('mmdet')
    config = tmp_path / 'headless.py'
    config.write_text("default_scope = 'mmdet'\nmodel = dict(type='FCOS')\n")
    with pytest.raises(ValueError, match='no model with a backbone'):
        Contender(str(config)).build()
    init_default_scope('mmengine')


def test_no_such_device(backbone_config):
    if torch.cuda.is_available():
        pytest.skip('there is one')
    with pytest.raises(ValueError, match="no CUDA device; use 'cpu'"):
        Workload((32, 32), device='cuda:0')


def test_a_failing_contender_is_named(backbone_config, tmp_path):
    broken = tmp_path / 'broken.py'
    broken.write_text('def patch(model):\n    del model.stages\n')
    with pytest.raises(RuntimeError, match="(?s)broken failed.*no attribute 'stages'"):
        measure([Contender(str(backbone_config), str(broken))], Workload((32, 32)))


def test_patches_are_told_from_configs(tmp_path):
    assert defines_patch(REFERENCE)
    assert not defines_patch(ROOT / 'configs/det/meta_sdt_srb_coco.py')


def test_ratios_compare_what_ran_side_by_side():
    first = Measurement('a', (1.0, 1.0, 8.0), 100)
    second = Measurement('b', (2.0, 3.0, 16.0), 50)
    assert second.times_slower(first) == 2.0  # the median of 2, 3 and 2
    assert second.times_memory(first) == 0.5
    assert second.times_memory(Measurement('c', (1.0,), None)) is None
