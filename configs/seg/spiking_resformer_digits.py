# A small SpikingResformer on the digit scenes: minutes on two CPU cores
_base_ = './meta_sdt_srb_digits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SpikingResformer',
        arch='ti',
        embed_dims=(32, 64, 128),
        depths=(1, 1, 2),
        num_heads=(1, 2, 4),
        group_size=32,
        # one step on integers 0..4
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        out_indices=(0, 1, 2, 3),
        out_mode='sequence',
    ),
    neck=dict(in_channels=[32, 64, 128, 256]),
    decode_head=dict(feature_strides=[4, 8, 16, 32]),
)
