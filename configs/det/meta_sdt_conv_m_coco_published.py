# meta_sdt_conv_m_coco.py as it was published with SDT-V3
_base_ = './meta_sdt_conv_coco_published.py'

width = 192  # 3/4 of 256
model = dict(
    backbone=dict(arch='m'),
    neck=dict(in_channels=[48, 96, 192, 240], out_channels=width),
    rpn_head=dict(in_channels=width, feat_channels=width),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width),
        bbox_head=dict(in_channels=width, fc_out_channels=768),  # 3/4 of 1024
        mask_roi_extractor=dict(out_channels=width),
        mask_head=dict(in_channels=width, conv_out_channels=width),
    ),
)
