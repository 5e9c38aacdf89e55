# SpikingResformer for small images, four time steps, on CIFAR
_base_ = [
    '../models/spiking_resformer_cls.py',
    '../schedules/spiking_resformer_320e.py',
    '../classification_runtime.py',
]

model = dict(
    head=dict(
        loss=dict(
            _delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'
        ),
    ),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.5)),
)

max_epochs = 600
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.02  # from 1e-5
param_scheduler[1].end = max_epochs
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=128)
