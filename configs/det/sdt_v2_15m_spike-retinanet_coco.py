# Meta-SpikeFormer (SDT-V2) 15M, one time step; RetinaNet with spiking neck and head
_base_ = './meta_sdt_srb_retinanet_coco.py'

model = dict(
    backbone=dict(arch='v2_15m', mixer='conv', drop_rate=0.0, out_mode='sequence'),
    neck=dict(type='snndense.SpikeFPN'),
    bbox_head=dict(type='snndense.SpikeRetinaHead'),
)
