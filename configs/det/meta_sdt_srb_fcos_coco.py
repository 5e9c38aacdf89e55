# Meta-SDT SRB, size L, under the stock FCOS: only the backbone spikes
_base_ = './meta_sdt_srb_retinanet_coco.py'

model = dict(
    type='FCOS',
    neck=dict(add_extra_convs='on_output', relu_before_extra_convs=True),
    bbox_head=dict(
        _delete_=True,
        type='FCOSHead',
        num_classes=80,
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        # true strides; each level keeps its stock range of object sizes
        strides=[8, 16, 16, 32, 64],
        norm_on_bbox=True,
        centerness_on_reg=True,
        center_sampling=True,
        conv_bias=True,
        loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
    ),
    train_cfg=None,
    test_cfg=dict(nms=dict(iou_threshold=0.6)),
)
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
