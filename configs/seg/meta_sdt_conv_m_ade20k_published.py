# meta_sdt_conv_m_ade20k.py with the layer scales of meta_sdt_conv_ade20k_published.py
_base_ = './meta_sdt_conv_m_ade20k.py'

model = dict(backbone=dict(layer_scale_init_value=1e-6))
