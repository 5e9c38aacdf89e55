# meta_sdt_srb_s_coco.py as it was published
_base_ = './meta_sdt_srb_coco_published.py'

model = dict(backbone=dict(arch='s'), neck=dict(in_channels=[32, 64, 128, 192]))
