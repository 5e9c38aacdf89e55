# As sdt_v2_15m_ade20k.py, 55M, neck and head 256 wide
_base_ = './sdt_v2_15m_ade20k.py'

model = dict(
    backbone=dict(arch='v2_55m'),
    neck=dict(in_channels=[64, 128, 256, 640], out_channels=256),
    decode_head=dict(in_channels=[256, 256, 256, 256], channels=256),
)
