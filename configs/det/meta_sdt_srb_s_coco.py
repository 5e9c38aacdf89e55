# As meta_sdt_srb_coco.py, size S
_base_ = './meta_sdt_srb_coco.py'

model = dict(backbone=dict(arch='s'), neck=dict(in_channels=[32, 64, 128, 192]))
