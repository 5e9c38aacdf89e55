# SpikingResformer, the model for CIFAR, on CIFAR10-DVS at 64 x 64, from scratch
_base_ = [
    '../_base_/models/spiking_resformer_cls.py',
    '../_base_/datasets/cifar10_dvs.py',
    '../_base_/pipelines/events_roll-rotate-cutout.py',
    '../_base_/schedules/spiking_resformer_events.py',
    'mmpretrain::_base_/default_runtime.py',
]

model = dict(backbone=dict(time_steps=16))

train_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=_base_.event_train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.event_test_pipeline))
test_dataloader = val_dataloader
