# Meta-SDT SRB, size S, four time steps, under the stock RetinaNet on Gen1
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/gen1.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]

time_steps = 4  # frames of 50 ms, see the data set
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='snndense.EventDetDataPreprocessor',
        time_steps=time_steps,
        pad_size_divisor=32,
    ),
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='s',
        mixer='srb',
        in_channels=2,
        time_steps=time_steps,
        out_indices=(1, 2, 3, 4),
    ),
    neck=dict(in_channels=[32, 64, 128, 192]),
    # True strides, see meta_sdt_srb_retinanet_coco.py. Anchor sides of
    # 4 x (5, 8, 12, 20, 32) = 20, 32, 48, 80, 128 pixels and two thirds of an octave
    # more: the boxes that count have 10 pixels at least, of 240 x 304.
    bbox_head=dict(
        num_classes=2,
        anchor_generator=dict(
            strides=[8, 16, 16, 32, 64],
            octave_base_scale=4,
            base_sizes=[5, 8, 12, 20, 32],
        ),
    ),
)
# mmdet's reads image files
default_hooks = dict(visualization=dict(type='snndense.EventDetVisualizationHook'))
