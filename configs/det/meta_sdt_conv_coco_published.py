# meta_sdt_conv_coco.py as it was published with SDT-V3
_base_ = './meta_sdt_srb_coco_published.py'

model = dict(backbone=dict(mixer='conv', drop_rate=0.0))
optim_wrapper = dict(optimizer=dict(lr=2e-4))
auto_scale_lr = dict(base_batch_size=8)  # 2 GPUs x 4 images
