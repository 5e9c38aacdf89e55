# SpikingResformer S, trained on ImageNet, on DVS128 Gesture at 128 x 128
_base_ = [
    '../_base_/models/spiking_resformer_cls.py',
    '../_base_/datasets/dvs128_gesture.py',
    '../_base_/pipelines/events_roll-rotate-cutout.py',
    '../_base_/schedules/spiking_resformer_events.py',
    'mmpretrain::_base_/default_runtime.py',
]

time_steps = 10
# The recipe starts from weights of ImageNet; docs/event_data.md says how
model = dict(
    backbone=dict(arch='s', time_steps=time_steps),
    head=dict(num_classes=11, in_channels=512),
)

# frames keep their 128 x 128 pixels: no resizing
load, _, *augment = _base_.event_train_pipeline
train_dataloader = dict(
    batch_size=48, dataset=dict(time_steps=time_steps, pipeline=[load, *augment])
)
load, _, *pack = _base_.event_test_pipeline
val_dataloader = dict(dataset=dict(time_steps=time_steps, pipeline=[load, *pack]))
test_dataloader = val_dataloader

max_epochs = 100
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=0.05))
param_scheduler = [
    # from 1e-5
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=3),
    dict(
        type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=3, end=max_epochs
    ),
]
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=48)
