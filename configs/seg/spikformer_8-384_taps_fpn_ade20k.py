# Spikformer 8-384, four time steps, in mmseg's semantic FPN over its last map and the
# spikes of its patch embedding: only the backbone spikes
_base_ = './meta_sdt_srb_fpn_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.Spikformer',
        arch='8_384',
        time_steps=4,
        out_indices=(1, 2, 3),
        with_cp=True,
    ),
    neck=dict(in_channels=[96, 192, 384], num_outs=3),
    decode_head=dict(
        in_index=[0, 1, 2], in_channels=[256, 256, 256], feature_strides=[4, 8, 16]
    ),
)

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)  # 4 GPUs x 4 images
