# SpikingResformer on event frames: AdamW, 300 epochs, for a batch of 8.
# Published in half precision with float32 evaluation: tools/train.py --amp
max_epochs = 300
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'neuron.w': dict(decay_mult=0.0)},  # of PLIF
    ),
)
param_scheduler = [
    # from 1e-5
    dict(type='LinearLR', start_factor=0.02, by_epoch=True, begin=0, end=3),
    dict(
        type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=3, end=max_epochs
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=8)
