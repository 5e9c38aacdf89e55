# Meta-SDT with the convolutional mixer: E-SpikeFormer (SDT-V3) 19M
_base_ = './meta_sdt_srb_ade20k.py'

# neck and head emit rates 0, 1/4, ..., 1
neuron_cfg = dict(type='snndense.IntegerLIF', levels=4, norm=4)
model = dict(
    backbone=dict(mixer='conv', drop_rate=0.0),  # this mixer has no dropout
    neck=dict(neuron_cfg=neuron_cfg),
    decode_head=dict(neuron_cfg=neuron_cfg),
)

train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)  # 1 GPU x 16 images
