# As sdt_v3_83m_imagenet.py, SDT-V3 173M
_base_ = './sdt_v3_83m_imagenet.py'

model = dict(backbone=dict(arch='173m'), head=dict(in_channels=768))
