# SpikingResformer S, four time steps; semantic FPN with spiking neck and head
_base_ = './meta_sdt_srb_ade20k.py'

time_steps = 4
neuron_cfg = dict(type='snndense.LIF', surrogate='atan')
spiking = dict(time_steps=time_steps, neuron_cfg=neuron_cfg)
model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SpikingResformer',
        arch='s',
        time_steps=time_steps,
        out_indices=(0, 1, 2, 3),  # the fourth map downsamples the third
        out_mode='sequence',
    ),
    neck=dict(in_channels=[64, 256, 512, 1024], **spiking),
    decode_head=dict(feature_strides=[4, 8, 16, 32], **spiking),
)

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)  # 4 GPUs x 4 images
