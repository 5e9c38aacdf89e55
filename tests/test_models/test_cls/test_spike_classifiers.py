"""Classification head and distillation: time, both outputs, the teacher."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

pytest.importorskip('mmpretrain')

CLASSES, CHANNELS = 5, 8
TEACHER = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(type='mmpretrain.LinearClsHead', num_classes=CLASSES, in_channels=64),
)


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    from mmpretrain.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    yield
    init_default_scope('mmengine')


def build_head(**cfg):
    return MODELS.build(
        dict(
            type='snndense.SpikeLinearClsHead',
            num_classes=CLASSES,
            in_channels=CHANNELS,
            **cfg,
        )
    ).eval()


def build_distilled(**cfg):
    torch.manual_seed(0)
    model = dict(
        type='snndense.DistilledClassifier',
        teacher=TEACHER,
        data_preprocessor=dict(num_classes=CLASSES, mean=[0.0] * 3, std=[255.0] * 3),
        backbone=dict(
            type='snndense.MetaSDT',
            arch='t',
            depths=(1, 1, 1, 1, 1),
            out_indices=(4,),
            out_mode='sequence',
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='snndense.SpikeLinearClsHead',
            num_classes=CLASSES,
            in_channels=128,
            with_kd_head=True,
        ),
    )
    model.update(cfg)
    return MODELS.build(model)


def samples(labels):
    from mmpretrain.structures import DataSample

    return [DataSample().set_gt_label(label) for label in labels]


def test_head_reads_integers_and_averages_over_time():
    torch.manual_seed(0)
    head = build_head(time_steps=2, neuron_cfg=dict(type='snndense.LIF'))
    x = 3 * torch.rand(2 * 3, CHANNELS)
    spikes = head.pre_logits((x,))
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    steps = head.fc(spikes).view(2, 3, CLASSES)
    torch.testing.assert_close(head((x,)), steps.mean(0))
    integers = build_head().pre_logits((5 * torch.rand(20, CHANNELS),))
    assert set(integers.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_head_without_neuron_and_bias_is_a_linear_map_of_the_mean():
    head = build_head(time_steps=2, neuron_cfg=None, bias=False)
    x = torch.randn(2 * 3, CHANNELS)
    torch.testing.assert_close(head((x,)), x.view(2, 3, -1).mean(0) @ head.fc.weight.T)
    assert set(head.state_dict()) == {'fc.weight'}


def test_head_averages_both_outputs():
    head = build_head(with_kd_head=True)
    x = 4 * torch.rand(3, CHANNELS)
    logits, logits_kd = head.forward_pair((x,))
    assert (logits - logits_kd).abs().max() > 0
    torch.testing.assert_close(head((x,)), (logits + logits_kd) / 2)


def test_first_layer_may_read_membranes():
    head = build_head(with_kd_head=True, fc_reads_membranes=True)
    x = 4 * torch.rand(3, CHANNELS)
    logits, logits_kd = head.forward_pair((x,))
    torch.testing.assert_close(logits, head.fc(x))
    torch.testing.assert_close(logits_kd, head.fc_kd(x.round()))
    for cfg in (dict(), dict(with_kd_head=True, neuron_cfg=None)):
        with pytest.raises(ValueError, match='fc_reads_membranes'):
            build_head(fc_reads_membranes=True, **cfg)


def test_loss_of_every_step():
    torch.manual_seed(0)
    neuron_cfg = dict(type='snndense.LIF')
    head = build_head(time_steps=2, neuron_cfg=neuron_cfg, loss_per_step=True)
    x, truth = 3 * torch.rand(2 * 3, CHANNELS), [0, 1, 2]
    steps = head.fc(head.pre_logits((x,))).view(2, 3, CLASSES)
    assert (steps[0] - steps[1]).abs().max() > 0
    losses = [nn.functional.cross_entropy(s, torch.tensor(truth)) for s in steps]
    found = head.loss((x,), samples(truth))['loss']
    torch.testing.assert_close(found, sum(losses) / 2)
    torch.testing.assert_close(head((x,)), steps.mean(0))
    with pytest.raises(ValueError, match='leave loss_per_step out'):
        build_head(loss_per_step=True, with_kd_head=True)


def test_distillation_follows_truth_and_teacher():
    model = build_distilled(alpha=0.25)
    model.init_weights()
    model.train()
    images, truth = torch.rand(4, 3, 64, 64), [0, 1, 2, 3]
    losses = model.loss(images, samples(truth))
    logits, logits_kd = model.head.forward_pair(model.extract_feat(images))
    taught = model.teacher_labels(images)
    cross_entropy = nn.functional.cross_entropy
    expected = 0.75 * cross_entropy(logits, torch.tensor(truth))
    torch.testing.assert_close(losses['loss_cls'], expected)
    expected = 0.25 * cross_entropy(logits_kd, taught)
    torch.testing.assert_close(losses['loss_kd'], expected)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_teacher_stays_as_it_is_and_outside():
    model = build_distilled()
    names = set(model.state_dict())
    model.init_weights()
    assert set(model.state_dict()) == names
    images = torch.rand(4, 3, 64, 64)
    before = model.teacher_labels(images)
    model.train()  # a teacher in training mode would move its running statistics
    model.loss(5 * images, samples([0, 1, 2, 3]))
    assert torch.equal(model.teacher_labels(images), before)


def test_testing_needs_no_teacher():
    model = build_distilled(teacher=dict(type='NoSuchClassifier')).eval()
    with torch.no_grad():
        results = model.predict(torch.rand(2, 3, 64, 64))
    assert results[0].pred_score.shape == (CLASSES,)
    with pytest.raises(KeyError, match='NoSuchClassifier'):
        model.init_weights()


def test_distillation_checks_its_arguments():
    with pytest.raises(ValueError, match='alpha=2'):
        build_distilled(alpha=2)
    with pytest.raises(ValueError, match='with_kd_head=True'):
        build_distilled(
            head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=128)
        )
