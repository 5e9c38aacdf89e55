# As sdt_v2_55m_t4_imagenet.py, 15M: from the weights of one step
_base_ = './sdt_v2_55m_t4_imagenet.py'

model = dict(backbone=dict(arch='v2_15m'), head=dict(in_channels=360))

load_from = 'work_dirs/sdt_v2_15m_imagenet/epoch_200.pth'
