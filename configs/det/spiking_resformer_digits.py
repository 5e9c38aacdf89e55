# A small SpikingResformer on the digit scenes: minutes on two CPU cores
_base_ = './meta_sdt_srb_digits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SpikingResformer',
        arch='ti',
        embed_dims=(16, 32, 64),
        depths=(1, 1, 2),
        num_heads=(1, 2, 4),
        group_size=16,
        # one step on integers 0..4
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        out_indices=(0, 1, 2, 3),
        out_mode='sequence',
    ),
    neck=dict(in_channels=[16, 32, 64, 128]),
    # anchor sides as for Meta-SDT; the last map has stride 32
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
