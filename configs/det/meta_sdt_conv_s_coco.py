# As meta_sdt_srb_s_coco.py, with the convolutional mixer: E-SpikeFormer 5M
_base_ = './meta_sdt_srb_s_coco.py'

model = dict(backbone=dict(mixer='conv', drop_rate=0.0))  # this mixer has no dropout
