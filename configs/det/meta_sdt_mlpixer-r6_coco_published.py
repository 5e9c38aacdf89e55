# meta_sdt_mlpixer-r6_coco.py as it was published
_base_ = './meta_sdt_mlpixer_coco_published.py'

model = dict(backbone=dict(mlp_ratio=6))
optim_wrapper = dict(optimizer=dict(lr=2e-4))
