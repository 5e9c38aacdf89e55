# As meta_sdt_conv_ade20k.py, size S: SDT-V3 5M
_base_ = './meta_sdt_conv_ade20k.py'

model = dict(backbone=dict(arch='s'), neck=dict(in_channels=[16, 32, 64, 192]))
