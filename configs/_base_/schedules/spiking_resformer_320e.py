# SpikingResformer on ImageNet: AdamW, 320 epochs.
# Published in half precision with float32 evaluation: tools/train.py --amp
max_epochs = 320
warmup_epochs = 3
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    # from 1e-5
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=warmup_epochs),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256)  # 8 GPUs x 32 images
