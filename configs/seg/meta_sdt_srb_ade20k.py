# Meta-SDT with the SRB mixer, size L; semantic FPN with spiking neck and head
_base_ = [
    '../_base_/models/fpn_spike.py',
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
        out_indices=(0, 1, 2, 4),  # strides 2, 4, 8, 16; stage 3 feeds stage 4 only
        out_mode='sequence',
    ),
    neck=dict(in_channels=[32, 64, 128, 360]),
)

train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=24)  # 4 GPUs x 6 images
