# Meta-SDT with the SRB mixer, size L. No recipe was published; that of SDT-V3
_base_ = './meta_sdt_conv_imagenet.py'

model = dict(backbone=dict(mixer='srb', drop_rate=0.2))
