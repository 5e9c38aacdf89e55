# Spikformer 8-512, four time steps
_base_ = [
    '../_base_/models/spikformer_cls.py',
    '../_base_/datasets/imagenet_spikformer_224.py',
    '../_base_/schedules/spikformer_310e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    backbone=dict(arch='8_512'),
    head=dict(num_classes=1000, in_channels=512),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    ),
)

optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.002  # from 1e-6
auto_scale_lr = dict(base_batch_size=192)  # 8 GPUs x 24 images
