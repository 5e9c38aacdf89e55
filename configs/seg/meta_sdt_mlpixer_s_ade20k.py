# As meta_sdt_mlpixer_ade20k.py, size S
_base_ = './meta_sdt_mlpixer_ade20k.py'

model = dict(backbone=dict(arch='s'), neck=dict(in_channels=[16, 32, 64, 192]))
