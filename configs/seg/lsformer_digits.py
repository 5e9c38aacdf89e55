# A small LSFormer (re-design) pyramid on the digit scenes: minutes on two CPU cores
_base_ = './meta_sdt_srb_digits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='h-t',
        embed_dims=(16, 48, 96, 128),
        depths=(1, 1, 2, 1),
        num_heads=(2, 4, 4, 4),
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        out_type='membrane',
        out_mode='sequence',
    ),
    decode_head=dict(feature_strides=[4, 8, 16, 32]),
)
optim_wrapper = dict(paramwise_cfg=dict(flat_decay_mult=0.0))
