# SpikingResformer, the model for gestures, on DVS128 Gesture at 64 x 64, from scratch
_base_ = [
    '../_base_/models/spiking_resformer_cls.py',
    '../_base_/datasets/dvs128_gesture.py',
    '../_base_/pipelines/events_roll-rotate-cutout.py',
    '../_base_/schedules/spiking_resformer_events.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(arch='dvsg', time_steps=16),
    head=dict(num_classes=11, in_channels=192),
)

# flips are published, though they turn one hand into the other
train_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=_base_.event_train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.event_test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    # from 1e-5
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=3),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=3, end=300),
]
