# Spikformer on images: AdamW, 300 + 10 epochs.
# Published in half precision, training and evaluation: tools/train.py --amp
decay_epochs = 300
max_epochs = 310  # ten at the last learning rate
warmup_epochs = 20
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.06),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    # from 1e-5
    dict(type='LinearLR', start_factor=0.02, by_epoch=True, end=warmup_epochs),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=warmup_epochs,
        end=decay_epochs,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128)
