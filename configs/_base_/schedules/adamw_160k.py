# 160k iterations with AdamW; the head learns twice as fast
_base_ = 'mmseg::_base_/schedules/schedule_160k.py'

# weight decay acts on everything, batch norms too, as published
optimizer = dict(
    _delete_=True, type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.005
)
optim_wrapper = dict(
    optimizer=optimizer, paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=2.0)})
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=1500, end=160000, by_epoch=False),
]
default_hooks = dict(checkpoint=dict(save_best='mIoU', max_keep_ckpts=2))
