# As meta_sdt_mlpixer_coco.py, hidden layers six times as wide as the input
_base_ = './meta_sdt_mlpixer_coco.py'

model = dict(backbone=dict(mlp_ratio=6))
