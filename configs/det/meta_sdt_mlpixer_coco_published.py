# meta_sdt_mlpixer_coco.py as it was published
_base_ = './meta_sdt_srb_coco_published.py'

model = dict(backbone=dict(mixer='mlpixer'))
