# As meta_sdt_mlpixer_imagenet.py, hidden layers six times as wide as the input
_base_ = './meta_sdt_mlpixer_imagenet.py'

model = dict(backbone=dict(mlp_ratio=6))
