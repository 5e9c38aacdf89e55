# Meta-SDT with the SRB mixer, size L, trained on ImageNet, fine-tuned on CIFAR.
# Lower stages learn more slowly; a moving average of the weights is evaluated
_base_ = [
    '../models/meta_sdt_cls.py',
    '../schedules/spiking_resformer_320e.py',
    '../classification_runtime.py',
]

model = dict(
    backbone=dict(
        mixer='srb',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/meta_sdt_srb_imagenet/epoch_200.pth',
            prefix='backbone.',
        ),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    ),
)

# no recipe was published: layer decay, stochastic depth, mixing and moving average are
# those of fine-tuning SDT-V3's large models on ImageNet
max_epochs = 100
optim_wrapper = dict(
    optimizer=dict(lr=5e-4, weight_decay=0.05),
    constructor='snndense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
param_scheduler = _base_.param_scheduler
param_scheduler[0].start_factor = 0.02  # from 1e-5
param_scheduler[1].end = max_epochs
train_cfg = dict(max_epochs=max_epochs)
custom_hooks = [dict(type='EMAHook', momentum=1e-4, priority='ABOVE_NORMAL')]
auto_scale_lr = dict(base_batch_size=128)
