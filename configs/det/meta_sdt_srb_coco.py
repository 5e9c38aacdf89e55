# Meta-SDT with the SRB mixer, size L; Mask R-CNN with spiking neck and heads
_base_ = [
    '../_base_/models/mask-rcnn_spike.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='l',
        mixer='srb',
        drop_rate=0.2,
        out_indices=(1, 2, 3, 4),
        out_mode='sequence',
    ),
    neck=dict(in_channels=[64, 128, 256, 360]),
    # True strides: the last stage keeps stride 16, the pooled fifth level has 32.
    # base_sizes are the stock ones, so that the anchors keep their sides:
    # 8 x (4, 8, 16, 32, 64) = 32, 64, 128, 256, 512 pixels.
    rpn_head=dict(
        anchor_generator=dict(strides=[4, 8, 16, 16, 32], base_sizes=[4, 8, 16, 32, 64])
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 16]),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 16]),
    ),
)
