# Meta-SDT with the SRB mixer, size L, in mmseg's semantic FPN: only the backbone spikes
_base_ = [
    'mmseg::_base_/models/fpn_r50.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    'mmseg::_base_/default_runtime.py',
]

norm_cfg = dict(type='BN')  # stock: SyncBN
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='l',
        mixer='srb',
        drop_rate=0.2,
        out_indices=(1, 2, 3, 4),
    ),
    neck=dict(in_channels=[64, 128, 256, 360]),
    # the last stage keeps stride 16
    decode_head=dict(
        feature_strides=[4, 8, 16, 16], num_classes=150, norm_cfg=norm_cfg
    ),
)

train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=24)  # 4 GPUs x 6 images
