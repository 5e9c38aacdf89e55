# As lsformer_h-t_mask-rcnn_coco.py, size h-s
_base_ = './lsformer_h-t_mask-rcnn_coco.py'

model = dict(backbone=dict(arch='h-s'), neck=dict(in_channels=[64, 128, 384, 512]))
