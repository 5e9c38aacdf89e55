import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from snndense.models.det import check_detector

STOCK_NECK = dict(
    _delete_=True, type='FPN', in_channels=[8, 8, 16, 24], out_channels=16, num_outs=5
)


@pytest.fixture
def checked(detector_cfg):
    """``checked(name, time_steps, change)`` -> what is said about a changed config."""

    def run(name, time_steps, change, **kwargs):
        cfg = detector_cfg(name, time_steps)
        change(cfg)
        model = MODELS.build(cfg)
        state = {key: value.clone() for key, value in model.state_dict().items()}
        modes = [module.training for module in model.modules()]
        try:
            check_detector(model, **kwargs)
        except ValueError as error:
            return str(error)
        finally:
            after = model.state_dict()
            assert all(torch.equal(after[key], value) for key, value in state.items())
            assert modes == [module.training for module in model.modules()]
        return ''

    return run


def nothing(cfg):
    pass


@pytest.mark.parametrize('name', ['retinanet', 'mask-rcnn', 'cascade-mask-rcnn'])
@pytest.mark.parametrize('time_steps', [1, 4])
def test_fitting_detectors_pass(checked, name, time_steps):
    assert checked(name, time_steps, nothing) == ''


def test_stock_neck_and_heads_on_rates_pass(checked):
    def change(cfg):
        cfg.backbone.update(out_mode='mean')
        cfg.neck = ConfigDict(STOCK_NECK, add_extra_convs='on_input', start_level=1)
        del cfg.neck['_delete_']
        cfg.bbox_head.type = 'RetinaHead'
        del cfg.bbox_head['time_steps'], cfg.bbox_head['neuron_cfg']

    assert checked('retinanet', 4, change) == ''


def test_mean_in_front_of_spiking_parts(checked):
    def change(cfg):
        cfg.backbone.out_mode = 'mean'

    message = checked('mask-rcnn', 4, change)
    assert "time_steps=4, out_mode='mean'" in message
    assert 'neck (SpikeFPN): 4' in message and "out_mode='sequence'" in message


def test_stock_extractor_on_a_sequence(checked):
    def change(cfg):
        extractor = cfg.roi_head.bbox_roi_extractor
        extractor.type = 'SingleRoIExtractor'
        del extractor['time_steps']

    message = checked('mask-rcnn', 2, change)
    assert 'roi_head.bbox_roi_extractor (SingleRoIExtractor): 1' in message
    assert 'mask_roi_extractor' not in message


def test_one_stage_of_a_cascade(checked):
    def change(cfg):
        cfg.roi_head.bbox_head[1].time_steps = 3

    message = checked('cascade-mask-rcnn', 2, change)
    assert 'roi_head.bbox_head[1] (SharedSpike4Conv1FCBBoxHead): 3' in message


def test_mask_branch_without_extractor(checked):
    def change(cfg):
        cfg.roi_head.mask_roi_extractor = None

    assert 'no mask_roi_extractor' in checked('mask-rcnn', 2, change)
    assert checked('mask-rcnn', 1, change) == ''
    assert checked('cascade-mask-rcnn', 2, change) == ''


def test_neck_channels(checked):
    def change(cfg):
        cfg.neck.in_channels = [8, 8, 16, 32]

    message = checked('retinanet', 2, change)
    assert 'in_channels=[8, 8, 16, 32]' in message
    assert 'out_channels=[8, 8, 16, 24]' in message


def test_neck_that_does_not_tell_its_channels(checked):
    def change(cfg):
        cfg.neck = ConfigDict(
            type='ChannelMapper', in_channels=[8, 8, 16, 32], out_channels=16
        )

    message = checked('retinanet', 1, change)
    assert 'neck (ChannelMapper)' in message
    assert 'out_channels=[8, 8, 16, 24]' in message


def test_head_and_extractor_channels(checked):
    def change(cfg):
        cfg.rpn_head.in_channels = 32
        cfg.roi_head.mask_roi_extractor.out_channels = 64

    message = checked('mask-rcnn', 1, change)
    assert 'rpn_head (SpikeRPNHead) has in_channels=32' in message
    assert 'mask_roi_extractor (SpikeSingleRoIExtractor) has out_channels=64' in message


def test_published_strides_only_on_demand(checked):
    def change(cfg):
        cfg.rpn_head.anchor_generator.strides = [4, 8, 16, 32, 64]
        cfg.roi_head.bbox_roi_extractor.featmap_strides = [4, 8, 16, 32]

    message = checked('mask-rcnn', 1, change)
    assert 'strides=[4, 8, 16, 32, 64], but its maps have [4, 8, 16, 16, 32]' in message
    assert 'featmap_strides=[4, 8, 16, 32], but its maps have [4, 8, 16, 16]' in message
    assert checked('mask-rcnn', 1, change, allow_wrong_strides=True) == ''


def test_other_backbones_are_left_alone(checked):
    def change(cfg):
        cfg.backbone = ConfigDict(type='ResNet', depth=18)

    assert checked('retinanet', 1, change) == ''
