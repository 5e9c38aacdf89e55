# SpikingResformer for small images, four time steps, on CIFAR100
_base_ = [
    '../_base_/models/spiking_resformer_cls.py',
    '../_base_/datasets/cifar100_randaug.py',
    '../_base_/schedules/spiking_resformer_320e.py',
    '../_base_/classification_runtime.py',
]

model = dict(
    head=dict(
        num_classes=100,
        loss=dict(
            _delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
    ),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.5)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(magnitude_level=7, magnitude_std=0.0)
del train_pipeline[2]  # RandomErasing
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_epochs = 600
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.02  # from 1e-5
param_scheduler[1].end = max_epochs
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=128)
