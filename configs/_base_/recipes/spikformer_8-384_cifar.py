# Spikformer 8-384, trained on ImageNet, fine-tuned on CIFAR
_base_ = './spikformer_4-384_cifar.py'

model = dict(
    backbone=dict(
        arch='8_384',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/spikformer_8-384_imagenet/epoch_310.pth',
            prefix='backbone.',
        ),
    ),
)
custom_hooks = []

# published: 60 epochs; the rest of the recipe is that of training from scratch
max_epochs = 60
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_epochs
train_cfg = dict(max_epochs=max_epochs)
