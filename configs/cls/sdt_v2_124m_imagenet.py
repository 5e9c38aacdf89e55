# As sdt_v2_55m_imagenet.py, 124M
_base_ = './sdt_v2_55m_imagenet.py'

model = dict(backbone=dict(arch='v2_124m'), head=dict(in_channels=960))
