"""Every published model has a config that gives its numbers, down to the neurons."""

import pytest
import torch
from mmengine.registry import MODELS

from snndense.checkpoints.recognition import recognise
from snndense.checkpoints.settings import find_differences
from snndense.utils.key_report import compare_keys

from .published_files import NAMES, meta_weights

CONFIGS = {
    'det_cascade_sdt3_19m_heads': 'det/meta_sdt_conv_spike-cascade_coco_published',
    'det_mask_rcnn_sdt3_10m_heads': 'det/meta_sdt_conv_m_coco_published',
    'det_mask_rcnn_sdt3_19m': 'det/meta_sdt_conv_coco_published',
    'det_mask_rcnn_sterf_srb_t': 'det/meta_sdt_srb_s_coco_published',
    'det_retina_sdt2_15m_heads': 'det/sdt_v2_15m_spike-retinanet_coco_published',
    'meta_sdt_mlpixer_l_r4': 'cls/meta_sdt_mlpixer_imagenet',
    'meta_sdt_mlpixer_l_r6': 'cls/meta_sdt_mlpixer-r6_imagenet',
    'meta_sdt_mlpixer_m_r4': 'cls/meta_sdt_mlpixer_m_imagenet',
    'meta_sdt_mlpixer_s_r4': 'cls/meta_sdt_mlpixer_s_imagenet',
    'meta_sdt_mlpixer_s_r6': 'cls/meta_sdt_mlpixer-r6_s_imagenet',
    'meta_sdt_srb_l_r4': 'cls/meta_sdt_srb_imagenet',
    'meta_sdt_srb_m_r4': 'cls/meta_sdt_srb_m_imagenet',
    'meta_sdt_srb_s_r4': 'cls/meta_sdt_srb_s_imagenet',
    'sdtv2_124m': 'cls/sdt_v2_124m_imagenet',
    'sdtv2_15m': 'cls/sdt_v2_15m_imagenet',
    'sdtv2_31m': 'cls/sdt_v2_31m_imagenet',
    'sdtv2_55m': 'cls/sdt_v2_55m_imagenet',
    'sdtv2_55m_kd': 'cls/sdt_v2_55m_t4_distill_imagenet',
    'sdtv3_l': 'cls/meta_sdt_conv_imagenet',
    'sdtv3_large_173m': 'cls/sdt_v3_173m_distill_imagenet',
    'sdtv3_large_83m': 'cls/sdt_v3_83m_distill_imagenet',
    'sdtv3_m': 'cls/meta_sdt_conv_m_imagenet',
    'sdtv3_s': 'cls/meta_sdt_conv_s_imagenet',
    'sdtv3_t': 'cls/meta_sdt_conv_t_imagenet',
    'seg_qfpn_sdt3_19m': 'seg/meta_sdt_conv_ade20k_published',
    'seg_qfpn_sterf_srb_b_heads': 'seg/meta_sdt_srb_ade20k_published',
    'seg_qfpn_sterf_srb_t': 'seg/meta_sdt_srb_s_ade20k',
    'spikformer_8_384': 'cls/spikformer_8-384_imagenet',
    'spikformer_8_512': 'cls/spikformer_8-512_imagenet',
    'spikformer_8_768': 'cls/spikformer_8-768_imagenet',
    'spikformer_cifar_4_384': 'cls/spikformer_4-384_cifar10',
    'spikformer_dvs_2_256': 'cls/spikformer_2-256_cifar10-dvs',
    'spikingresformer_cifar': 'cls/spiking_resformer_cifar_cifar10',
    'spikingresformer_dvsg': 'cls/spiking_resformer_dvsg_dvs128-gesture',
    'spikingresformer_l': 'cls/spiking_resformer_l_imagenet',
    'spikingresformer_m': 'cls/spiking_resformer_m_imagenet',
    'spikingresformer_s': 'cls/spiking_resformer_s_imagenet',
    'spikingresformer_ti': 'cls/spiking_resformer_ti_imagenet',
}


def test_all_models_are_listed():
    # the backbone of the segmentors alone has no config
    alone = {'sdtv3_dense_seg_l', 'sdtv3_dense_seg_m'}
    assert set(CONFIGS) == set(NAMES) - alone


@pytest.mark.parametrize('name', CONFIGS)
def test_config_of_published_weights(name, load_config):
    cfg = load_config(CONFIGS[name])
    if cfg.get('data_preprocessor') is not None:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    published = recognise(meta_weights(name))
    report = compare_keys(model.state_dict(), published.state_dict)
    assert not report.surprises, report
    assert find_differences(model, published) == []
