# SpikingResformer S, four time steps, in mmseg's semantic FPN
_base_ = './meta_sdt_srb_fpn_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.SpikingResformer',
        arch='s',
        time_steps=4,
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(in_channels=[64, 256, 512, 1024]),
    decode_head=dict(feature_strides=[4, 8, 16, 32]),
)

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)  # 4 GPUs x 4 images
