# Meta-SpikeFormer (SDT-V2) 15M, one time step; semantic FPN with LIF neck and head
_base_ = './meta_sdt_conv_ade20k.py'

neuron_cfg = dict(_delete_=True, type='snndense.LIF')
model = dict(
    # the maps are averaged over time in front of the neck, so that it runs one step
    backbone=dict(arch='v2_15m', out_mode='mean'),  # the widths of size L
    neck=dict(neuron_cfg=neuron_cfg),
    decode_head=dict(neuron_cfg=neuron_cfg),
)

train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)  # published: 1 GPU x 1 to 8 images
