# As sdt_v2_55m_imagenet.py, 31M
_base_ = './sdt_v2_55m_imagenet.py'

model = dict(backbone=dict(arch='v2_31m'), head=dict(in_channels=480))
