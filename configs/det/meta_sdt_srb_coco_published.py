# meta_sdt_srb_coco.py as it was published, to evaluate and repeat published work
_base_ = './meta_sdt_srb_coco.py'

model = dict(
    # the neck evaluates with spikes of 0 and 1, but trains with 0 to 4
    neck=dict(
        neuron_cfg=dict(type='snndense.IntegerLIF', levels=1, train_levels=4, norm=1)
    ),
    # declared strides; the maps of the last two levels have 16 and 32
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64], base_sizes=None)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
allow_wrong_strides = True  # the check before training and testing refuses them

# every training image is shrunk to fit 853 x 512 before it is enlarged to 480-800
train_pipeline = _base_.train_pipeline
train_pipeline.insert(2, dict(type='Resize', scale=(853, 512), keep_ratio=True))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(
    optimizer=dict(lr=2e-6),
    paramwise_cfg=dict(_delete_=True),  # weight decay on batch norms too
)
