# As meta_sdt_conv_ade20k.py, size M: SDT-V3 10M
_base_ = './meta_sdt_conv_ade20k.py'

model = dict(backbone=dict(arch='m'), neck=dict(in_channels=[24, 48, 96, 240]))
