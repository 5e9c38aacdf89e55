# As lsformer_h-t_ade20k.py, size h-b
_base_ = './lsformer_h-t_ade20k.py'

model = dict(backbone=dict(arch='h-b'), neck=dict(in_channels=[128, 256, 512, 768]))
