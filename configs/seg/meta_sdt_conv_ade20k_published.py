# meta_sdt_conv_ade20k.py as in the published code. Its branches are scaled by
# parameters that ImageNet weights lack: from these, eight blocks start as identity
_base_ = './meta_sdt_conv_ade20k.py'

model = dict(backbone=dict(layer_scale_init_value=1e-6))
