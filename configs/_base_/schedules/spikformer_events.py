# Spikformer on event frames: AdamW, 96 + 10 epochs, for a batch of 16.
# Published in half precision with float32 evaluation: tools/train.py --amp
decay_epochs = 96
max_epochs = 106  # ten at the last learning rate
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.06),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    # from 1e-5
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=10),
    # upstream: the cosine counts the warm-up, and so begins at 97 % of the rate
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=10,
        end=decay_epochs,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
