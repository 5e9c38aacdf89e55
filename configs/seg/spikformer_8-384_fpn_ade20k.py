# Spikformer 8-384, four time steps, under mmseg's semantic FPN head: only it spikes.
# The neck makes its pyramid of the single map of stride 16, as ViTDet's does.
_base_ = './meta_sdt_srb_fpn_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.Spikformer',
        arch='8_384',
        time_steps=4,
        out_indices=(3,),
        with_cp=True,
    ),
    neck=dict(
        _delete_=True,
        type='snndense.SimpleFeaturePyramid',
        in_channels=[384],
        out_channels=256,
        num_outs=4,
    ),
    decode_head=dict(feature_strides=[4, 8, 16, 32]),
)

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)  # 4 GPUs x 4 images
