# Spikformer 8-384, four time steps; semantic FPN head that spikes, over a pyramid that
# the neck makes of the single map of stride 16, as ViTDet's does
_base_ = './meta_sdt_srb_ade20k.py'

time_steps = 4
neuron_cfg = dict(type='snndense.LIF')
spiking = dict(time_steps=time_steps, neuron_cfg=neuron_cfg)
model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.Spikformer',
        arch='8_384',
        time_steps=time_steps,
        out_indices=(3,),
        out_mode='sequence',
        with_cp=True,
    ),
    neck=dict(
        _delete_=True,
        type='snndense.SpikeSimpleFeaturePyramid',
        in_channels=[384],
        out_channels=128,
        num_outs=4,
        **spiking,
    ),
    decode_head=dict(feature_strides=[4, 8, 16, 32], **spiking),
)

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)  # 4 GPUs x 4 images
