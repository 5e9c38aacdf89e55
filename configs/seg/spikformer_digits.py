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
        out_indices=(1, 2, 3),  # strides 4, 8 and 16
        out_mode='sequence',
    ),
    neck=dict(in_channels=[32, 64, 128], num_outs=3),
    decode_head=dict(
        in_channels=[64, 64, 64], in_index=[0, 1, 2], feature_strides=[4, 8, 16]
    ),
)
