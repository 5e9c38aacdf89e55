# As sdt_v2_55m_ade20k.py, four time steps, 80k iterations from its weights
_base_ = './sdt_v2_55m_ade20k.py'

model = dict(backbone=dict(time_steps=4))

load_from = 'work_dirs/sdt_v2_55m_ade20k/iter_160000.pth'

optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'neck': dict(lr_mult=2.0)}),
)
max_iters = 80000
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_iters
train_cfg = dict(max_iters=max_iters)
