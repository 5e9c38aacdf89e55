# Meta-SpikeFormer (SDT-V2) 55M, one time step
_base_ = [
    '../_base_/models/meta_sdt_cls.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/lamb_200e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(arch='v2_55m'),
    head=dict(in_channels=640, neuron_cfg=dict(type='snndense.LIF')),
)

train_dataloader = dict(batch_size=128)
val_dataloader = dict(batch_size=128)
test_dataloader = val_dataloader

warmup_epochs = 10
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = warmup_epochs
# 6e-4 x 1024 / 256
optim_wrapper = dict(optimizer=dict(lr=2.4e-3))
auto_scale_lr = dict(base_batch_size=1024)  # 8 GPUs x 128 images
