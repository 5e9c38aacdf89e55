# Meta-SpikeFormer (SDT-V2) 15M, one time step; Mask R-CNN with spiking neck and heads
_base_ = './meta_sdt_conv_coco.py'

model = dict(backbone=dict(arch='v2_15m'))  # the widths of size L
