# LSFormer (re-design) h-t, four integer levels; semantic FPN with spiking neck and head
_base_ = './meta_sdt_srb_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='h-t',
        time_steps=1,
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=4),
        drop_path_rate=0.1,
        out_type='membrane',
        out_mode='sequence',
    ),
    neck=dict(in_channels=[64, 128, 256, 384]),
    decode_head=dict(feature_strides=[4, 8, 16, 32]),
)

optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=0.05),
    # the pools have gains
    paramwise_cfg=dict(norm_decay_mult=0.0, flat_decay_mult=0.0),
)
train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)  # 4 GPUs x 4 images
