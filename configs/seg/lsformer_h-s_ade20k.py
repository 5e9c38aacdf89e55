# As lsformer_h-t_ade20k.py, size h-s
_base_ = './lsformer_h-t_ade20k.py'

model = dict(backbone=dict(arch='h-s'), neck=dict(in_channels=[64, 128, 384, 512]))
