# As sdt_v2_15m_ade20k.py, four time steps; the neck learns twice as fast too
_base_ = './sdt_v2_15m_ade20k.py'

model = dict(backbone=dict(time_steps=4))

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'neck': dict(lr_mult=2.0)}))
