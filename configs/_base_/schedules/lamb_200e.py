# SDT-V3 and Meta-SDT on ImageNet: Lamb with clipped trust ratio, 200 epochs.
# lr = 6e-4 per 256 images: 6e-4 x 2048 / 256 = 4.8e-3
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Lamb', lr=4.8e-3, weight_decay=0.05, trust_clip=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
max_epochs = 200
warmup_epochs = 5
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6,
        by_epoch=True,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=2048)  # 8 GPUs x 256 images
