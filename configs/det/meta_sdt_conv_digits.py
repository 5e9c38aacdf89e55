# As meta_sdt_srb_digits.py, with the convolutional mixer: E-SpikeFormer (SDT-V3)
_base_ = './meta_sdt_srb_digits.py'

model = dict(backbone=dict(mixer='conv'))
