"""Every published model is told from its keys and shapes, down to its heads."""

import pytest
import torch

from snndense.checkpoints import check_parts
from snndense.checkpoints.recognition import TASKS, recognise

from .published_files import key_list, meta_weights

SDT_V2 = dict(family='sdt_v2', mixer='conv')
SDT_V3 = dict(family='sdt_v3', mixer='conv')
MLPIXER = dict(family='meta_sdt', mixer='mlpixer')
SRB = dict(family='meta_sdt', mixer='srb')
EXPECTED = {
    'meta_sdt_mlpixer_s_r6': dict(MLPIXER, arch='s', mlp_ratio=6),
    'meta_sdt_mlpixer_l_r4': dict(MLPIXER, arch='l', mlp_ratio=None),
    'meta_sdt_srb_m_r4': dict(SRB, arch='m', layer_scale_init_value=0.0),
    'sdtv2_124m': dict(SDT_V2, arch='v2_124m', time_steps=1),
    'sdtv2_55m_kd': dict(SDT_V2, arch='v2_55m', time_steps=4),
    'sdtv3_t': dict(SDT_V3, arch='t', task='classifier'),
    'sdtv3_dense_seg_m': dict(
        SDT_V3, arch='m', task='backbone', layer_scale_init_value=1e-6
    ),
    'seg_qfpn_sdt3_19m': dict(SDT_V3, arch='l', task='segmentor'),
    'seg_qfpn_sterf_srb_t': dict(SRB, arch='s', task='segmentor'),
    'det_mask_rcnn_sterf_srb_t': dict(SRB, arch='s', task='detector'),
    'det_cascade_sdt3_19m_heads': dict(SDT_V3, arch='l', task='detector'),
    'det_retina_sdt2_15m_heads': dict(SDT_V2, arch='v2_15m', task='detector'),
    'sdtv3_large_83m': dict(family='sdt_v3_large', arch='83m', task='classifier'),
    'sdtv3_large_173m': dict(family='sdt_v3_large', arch='173m'),
    'spikformer_8_768': dict(family='spikformer', arch='8_768'),
    'spikformer_cifar_4_384': dict(family='spikformer', arch='cifar_4_384'),
    'spikformer_dvs_2_256': dict(family='spikformer', arch='dvs_2_256', in_channels=2),
    'spikingresformer_ti': dict(family='spiking_resformer', arch='ti', time_steps=4),
    'spikingresformer_dvsg': dict(
        family='spiking_resformer', arch='dvsg', time_steps=16
    ),
}


@pytest.mark.parametrize('name', EXPECTED)
def test_family_size_and_task(name):
    published = recognise(meta_weights(name))
    expected = dict(EXPECTED[name])
    for attribute in ('family', 'task'):
        if attribute in expected:
            assert getattr(published, attribute) == expected.pop(attribute)
    assert {key: published.backbone.get(key) for key in expected} == expected


def test_heads_are_built_as_published():
    published = recognise(meta_weights('det_mask_rcnn_sterf_srb_t'))
    places = ('neck', 'rpn_head', 'roi_head.bbox_head', 'roi_head.mask_head')
    neck, rpn_head, bbox_head, mask_head = (published.parts[p] for p in places)
    assert neck['neuron_cfg']['levels'] == 1 and neck['neuron_cfg']['train_levels'] == 4
    assert rpn_head['anchor_generator']['strides'] == [4, 8, 16, 32, 64]
    assert bbox_head['num_classes'] == mask_head['num_classes'] == 80
    cascade = recognise(meta_weights('det_cascade_sdt3_19m_heads'))
    assert {f'roi_head.bbox_head.{stage}' for stage in range(3)} < set(cascade.parts)
    retina = recognise(meta_weights('det_retina_sdt2_15m_heads')).parts
    assert retina['bbox_head']['share_last_neuron']
    assert retina['neck']['start_level'] == 1 and retina['neck']['num_outs'] == 5
    divisors = {
        name: recognise(meta_weights(name)).parts['neck']['neuron_cfg']['norm']
        for name in ('seg_qfpn_sdt3_19m', 'seg_qfpn_sterf_srb_t')
    }
    assert divisors == dict(seg_qfpn_sdt3_19m=4, seg_qfpn_sterf_srb_t=1)
    kd = recognise(meta_weights('sdtv2_55m_kd')).parts['head']
    assert kd['with_kd_head'] and kd['time_steps'] == 4


@pytest.mark.parametrize(
    ('name', 'key'),
    [
        ('det_mask_rcnn_sterf_srb_t', 'roi_head.bbox_head.fc_reg.bias'),
        ('det_mask_rcnn_sterf_srb_t', 'rpn_head.rpn_conv.1.0.weight'),
        ('seg_qfpn_sterf_srb_t', 'neck.fpn_convs.2.1.running_mean'),
        ('sdtv2_55m_kd', 'head.bias'),
        ('spikingresformer_s', 'layers.1.3.firing_rate_attn'),
        ('spikformer_cifar_4_384', 'block.3.attn.q_bn.weight'),
    ],
)
@pytest.mark.parametrize('damage', ['missing', 'extra', 'shape'])
def test_damage_anywhere_is_noticed(name, key, damage):
    if host := TASKS[recognise(meta_weights(name)).task]:
        pytest.importorskip(host)
    weights = meta_weights(name)
    if damage == 'missing':
        del weights[key]
    elif damage == 'extra':
        weights[f'{key.rpartition(".")[0]}.surprise'] = torch.empty(1, device='meta')
    else:
        weights[key] = torch.empty(7, device='meta')
    with pytest.raises(ValueError, match='missing|unexpected|of another shape'):
        check_parts(recognise(weights))


def test_a_size_that_was_not_published_gets_a_dict():
    shapes = key_list('meta_sdt_srb_s_r4')
    shapes['downsample1_2.encode_conv.weight'] = [48, 16, 3, 3]
    weights = {key: torch.empty(s, device='meta') for key, s in shapes.items()}
    published = recognise(weights)
    assert published.arch['embed_dims'] == [48, 64, 128, 192]
    assert 'of an unpublished size' in str(published)


def test_unknown_keys_are_refused():
    resnet = {'conv1.weight': torch.empty(64, 3, 7, 7), 'fc.bias': torch.empty(10)}
    with pytest.raises(ValueError, match='no published model .*conv1.weight'):
        recognise(resnet)
    weights = meta_weights('spikformer_8_384')
    detector = {f'backbone.{key}': value for key, value in weights.items()}
    detector['rpn_head.rpn_cls.weight'] = torch.empty(3, 8, 1, 1)
    with pytest.raises(ValueError, match='no published detector'):
        recognise(detector)
