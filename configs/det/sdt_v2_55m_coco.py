# As sdt_v2_15m_coco.py, 55M
_base_ = './sdt_v2_15m_coco.py'

model = dict(backbone=dict(arch='v2_55m'), neck=dict(in_channels=[128, 256, 512, 640]))
