# A small Spikformer on the digit scenes: minutes on two CPU cores
_base_ = './meta_sdt_srb_digits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.Spikformer',
        arch='8_384',
        embed_dims=128,
        depths=2,
        # one step on integers 0..4
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        out_indices=(1, 2, 3),
        out_mode='sequence',
    ),
    # taps of stride 4, 8 and 16, and the last one pooled
    neck=dict(in_channels=[32, 64, 128]),
    # anchor sides as for Meta-SDT; the last map has stride 32
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
