# As meta_sdt_srb_fpn_ade20k.py, under mmseg's SegFormer head
_base_ = [
    'mmseg::_base_/models/segformer_mit-b0.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        _delete_=True,
        type='snndense.MetaSDT',
        arch='l',
        mixer='srb',
        drop_rate=0.2,
        out_indices=(1, 2, 3, 4),
    ),
    decode_head=dict(
        in_channels=[64, 128, 256, 360],
        num_classes=150,
        norm_cfg=dict(type='BN'),  # stock: SyncBN
    ),
)

train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=24)  # 4 GPUs x 6 images
