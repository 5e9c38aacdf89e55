# LSFormer (re-design) for small images, four time steps, on CIFAR
_base_ = './spikformer_4-384_cifar.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='snndense.LSFormer',
        arch='cifar',
        out_indices=(3,),
        out_type='spike',
    ),
)

# the settings of Spikformer, but for
decay_epochs = max_epochs = 400
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.01  # from 1e-5
param_scheduler[1].end = decay_epochs
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=64)
