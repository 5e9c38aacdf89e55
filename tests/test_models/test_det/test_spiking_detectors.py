"""Whole detectors of stock parts around spiking neck and heads."""

import pytest
import torch
from mmengine.structures import InstanceData

from snndense.models.time_steps import to_spike_driven

NAMES = ['retinanet', 'mask-rcnn', 'cascade-mask-rcnn']


def losses_of(model, pictures):
    model.train()
    torch.manual_seed(1)  # the samplers draw
    data = model.data_preprocessor(pictures, True)
    return model(**data, mode='loss')


def predict(model, pictures):
    model.eval()
    with torch.no_grad():
        return [sample.pred_instances for sample in model.test_step(pictures)]


@pytest.mark.parametrize('name', NAMES)
def test_learns_and_predicts(build_detector, pictures, name):
    model = build_detector(name, time_steps=2)
    loss, _ = model.parse_losses(losses_of(model, pictures))
    assert loss.isfinite() and loss > 0
    loss.backward()
    assert not [k for k, p in model.named_parameters() if p.grad is None]
    results = predict(model, pictures)
    assert [len(result) for result in results] == [10, 10]
    if 'mask' in name:
        assert results[0].masks.shape == (10, 64, 48)
        assert results[1].masks.shape == (10, 40, 64)


@pytest.mark.parametrize('name', NAMES)
def test_equal_steps_give_what_one_step_gives(build_detector, pictures, name):
    once = build_detector(name, time_steps=1)
    thrice = build_detector(name, time_steps=3)
    thrice.load_state_dict(once.state_dict())
    expected, found = losses_of(once, pictures), losses_of(thrice, pictures)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5)
    for result, reference in zip(
        predict(thrice, pictures), predict(once, pictures), strict=True
    ):
        torch.testing.assert_close(result.scores, reference.scores)
        torch.testing.assert_close(result.bboxes, reference.bboxes)


@pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn'])
@pytest.mark.parametrize('time_steps', [1, 2])
def test_pictures_without_objects_and_proposals(
    build_detector, pictures, name, time_steps
):
    model = build_detector(name, time_steps)
    data = model.data_preprocessor(pictures, True)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    nothing = InstanceData(
        bboxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        labels=torch.zeros(0, dtype=torch.long),
    )
    empty = [nothing, nothing.clone()]
    maps = model.extract_feat(data['inputs'])
    losses = model.roi_head.loss(
        maps, [result.clone() for result in empty], data['data_samples']
    )
    loss, _ = model.parse_losses(losses)
    assert loss.isfinite()
    loss.backward()
    with torch.no_grad():
        results = model.roi_head.predict(maps, empty, data['data_samples'])
    assert [len(result) for result in results] == [0, 0]
    assert all(len(result.masks) == 0 for result in results)


@pytest.mark.parametrize('part', ['rpn', 'box', 'mask'])
def test_averages_over_all_steps(build_detector, part):
    model = build_detector('mask-rcnn', time_steps=2).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    rois = torch.tensor([[0, 1, 2, 30, 40.0], [1, 5, 5, 60, 60.0]])
    forward = dict(
        rpn=lambda maps: model.rpn_head(maps)[0][0],
        box=lambda maps: model.roi_head._bbox_forward(maps, rois)['cls_score'],
        mask=lambda maps: model.roi_head._mask_forward(maps, rois)['mask_preds'],
    )[part]
    first, second = (
        tuple(torch.randn(2, 16, size, size) for size in (16, 8, 4, 4, 2))
        for _ in range(2)
    )

    def run(*steps):
        return forward(tuple(torch.cat(level) for level in zip(*steps, strict=True)))

    # without a membrane in between, the mean over two steps is that of each alone
    alone = (run(first, first) + run(second, second)) / 2
    torch.testing.assert_close(run(first, second), alone)
    assert len(alone) == 2 and not torch.allclose(run(first, first), alone)


@pytest.fixture
def nms_of_doubles(monkeypatch):
    """mmcv's kernel reads float32 only; what it selects is the same."""
    from mmcv.ops.nms import NMSop

    apply = NMSop.apply

    def in_single(boxes, scores, *args):
        return apply(boxes.float(), scores.float(), *args)

    monkeypatch.setattr(NMSop, 'apply', in_single)


@pytest.mark.parametrize('name', NAMES)
def test_binary_steps_predict_what_integers_predict(
    build_detector, pictures, nms_of_doubles, name
):
    model = build_detector(name, time_steps=2).double()
    for key, parameter in model.named_parameters():
        if key.endswith('bias') and 'backbone' not in key:
            torch.nn.init.normal_(parameter)  # a bias must count once
    if 'mask' in name:  # pasting reads float32 only; that head is compared elsewhere
        model.roi_head.mask_head = None
    expected = predict(model, pictures)
    to_spike_driven(model)
    assert model.backbone.time_steps == 2 * 4
    for result, wanted in zip(predict(model, pictures), expected, strict=True):
        torch.testing.assert_close(result.scores, wanted.scores)
        torch.testing.assert_close(result.bboxes, wanted.bboxes)
