# LSFormer (re-design) h-t, four integer levels, in mmseg's UPerNet
_base_ = './meta_sdt_srb_upernet_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='h-t',
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        drop_path_rate=0.1,
    ),
    decode_head=dict(in_channels=[64, 128, 256, 384]),
)

optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.05),
    # the pools have gains
    paramwise_cfg=dict(norm_decay_mult=0.0, flat_decay_mult=0.0),
)
