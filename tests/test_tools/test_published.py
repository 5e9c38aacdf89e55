"""The tools on published weights of full-size models, as they are and converted."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from snndense.checkpoints import convert_checkpoint
from snndense.engine.predictors import DetectionPredictor

from .conftest import ROOT

MANIFESTS = ROOT / 'tests/data/manifests'
CLASSES = 10  # digits
SIZED_BY_CLASSES = dict(
    fc_cls=CLASSES + 1,
    fc_reg=4 * CLASSES,
    conv_logits=CLASSES,
    conv_seg=11,
    head=CLASSES,
)


def published_weights(name: str) -> dict:
    """Small random weights under the published keys, for the classes of the digits."""
    path = next(MANIFESTS.rglob(f'manifest_{name}.json'))
    weights = {}
    for key, shape, _ in json.loads(path.read_text())['state_dict']:
        for layer, count in SIZED_BY_CLASSES.items():
            if layer in key.split('.'):
                shape[0] = count
        if key.endswith(('running_var', 'bn.weight', '.1.weight')) and len(shape) == 1:
            weights[key] = torch.ones(shape)
        elif key.endswith('num_batches_tracked'):
            weights[key] = torch.tensor(1)
        else:
            weights[key] = 0.05 * torch.randn(shape)
    return weights


@pytest.fixture
def published(tiny_configs, tmp_path):
    """A config of the digits with a full-size model, and its published weights."""

    def make(task: str, config: str, name: str) -> tuple[Path, Path]:
        torch.manual_seed(0)
        cfg = Config.fromfile(tiny_configs[task])
        full = Config.fromfile(ROOT / f'configs/{config}.py')
        model = full.model
        if task == 'det':
            model.roi_head.bbox_head.num_classes = CLASSES
            model.roi_head.mask_head.num_classes = CLASSES
            cfg.allow_wrong_strides = True
            model.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
            model.test_cfg.rcnn.max_per_img = 2
        elif task == 'cls':
            model.head.num_classes = CLASSES
            cfg.data_preprocessor = dict(full.data_preprocessor, num_classes=CLASSES)
        cfg.model = model
        cfg.test_dataloader.dataset.indices = 2
        cfg.dump(tmp_path / f'{task}.py')
        torch.save(dict(model=published_weights(name)), tmp_path / f'{name}.pth')
        return tmp_path / f'{task}.py', tmp_path / f'{name}.pth'

    return make


def test_detector(published, run_tool, digit_scenes_root, tmp_path):
    config = 'det/meta_sdt_srb_s_coco_published'
    cfg, weights = published('det', config, 'det_mask_rcnn_sterf_srb_t')
    log = run_tool('test.py', cfg, weights)
    assert f'{weights} holds a published detector' in log
    assert f'{weights} fits MaskRCNN' in log and '625 keys match' in log
    assert 'warning: ' not in log and 'coco/bbox_mAP:' in log
    # converted, by the inferencer that predict.py has
    converted = tmp_path / 'ours.safetensors'
    convert_checkpoint(weights, converted)
    image = next((digit_scenes_root / 'coco/val').glob('*.jpg'))
    predictor = DetectionPredictor(
        Config.fromfile(cfg), str(converted), 'cpu', score_thr=0.0, top_k=1
    )
    (sample,) = predictor.predict([str(image)])
    assert len(sample.pred_instances) == 2


def test_fine_tuning(published, run_tool, tmp_path):
    cfg, weights = published('cls', 'cls/meta_sdt_conv_t_imagenet', 'sdtv3_t')
    neuron = 'model.backbone.neuron_cfg'
    levels = (f'{neuron}.type=snndense.IntegerLIF', f'{neuron}.levels=8')
    options = ('--cfg-options', f'load_from={weights}', *levels)
    log = run_tool('train.py', cfg, '--work-dir', 'work', *options)
    assert f'{weights} fits ImageClassifier' in log and '605 keys match' in log
    assert 'warning: backbone: levels=8 in' in log and 'warning: head' not in log
    assert (tmp_path / 'work/iter_4.pth').is_file()
