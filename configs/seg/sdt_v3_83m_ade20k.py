# SDT-V3 83M; semantic FPN with spiking neck and head
_base_ = [
    '../_base_/models/fpn_spike.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    'mmseg::_base_/default_runtime.py',
]

# neck and head emit rates 0, 1/4, ..., 1, as those of the base sizes
neuron_cfg = dict(type='snndense.IntegerLIF', levels=4, norm=4)
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        _delete_=True,
        type='snndense.SDTV3Large',
        arch='83m',
        out_mode='sequence',
        with_cp=True,
    ),
    neck=dict(in_channels=[64, 128, 256, 512], neuron_cfg=neuron_cfg),
    decode_head=dict(neuron_cfg=neuron_cfg),
)

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=16)  # 4 GPUs x 4 images
