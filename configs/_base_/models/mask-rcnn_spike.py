# Mask R-CNN with spiking neck and heads, for a backbone with out_mode='sequence'
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    neck=dict(type='snndense.SpikeFPN'),
    rpn_head=dict(type='snndense.SpikeRPNHead'),
    roi_head=dict(
        bbox_roi_extractor=dict(type='snndense.SpikeSingleRoIExtractor'),
        bbox_head=dict(type='snndense.SharedSpike2FCBBoxHead'),
        mask_roi_extractor=dict(type='snndense.SpikeSingleRoIExtractor'),
        mask_head=dict(type='snndense.SpikeFCNMaskHead'),
    ),
)
