# As meta_sdt_srb_coco.py, with the MLPixer mixer
_base_ = './meta_sdt_srb_coco.py'

model = dict(backbone=dict(mixer='mlpixer'))
