# As sdt_v3_83m_distill_imagenet.py, SDT-V3 173M
_base_ = './sdt_v3_83m_distill_imagenet.py'

checkpoint = 'work_dirs/sdt_v3_173m_imagenet/epoch_150.pth'
model = dict(
    backbone=dict(arch='173m', init_cfg=dict(checkpoint=checkpoint)),
    head=dict(in_channels=768, init_cfg=dict(checkpoint=checkpoint)),
)
