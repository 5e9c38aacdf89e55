# Meta-SDT SRB, size L, under the stock RetinaNet: only the backbone spikes
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/coco_detection_ms.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
    'mmdet::retinanet/retinanet_tta.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='l',
        mixer='srb',
        drop_rate=0.2,
        out_indices=(1, 2, 3, 4),
    ),
    neck=dict(in_channels=[64, 128, 256, 360]),
    # True strides: taps of 8, 16, 16 and two extra levels that halve the last tap.
    # base_sizes are the stock strides, so that the anchors keep their sides:
    # 4 x (8, 16, 32, 64, 128) = 32, 64, 128, 256, 512 pixels and two thirds of
    # an octave more.
    bbox_head=dict(
        anchor_generator=dict(
            strides=[8, 16, 16, 32, 64],
            octave_base_scale=4,
            base_sizes=[8, 16, 32, 64, 128],
        )
    ),
)
