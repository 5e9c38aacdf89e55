# The two parts of LSFormer (re-design) against what they replace, in detection:
#   python tools/misc/ablation.py configs/ablations/lsformer_digits_det.py
config = '../det/lsformer_digits.py'
metrics = {
    'box AP': 'coco/bbox_mAP',
    'box AP50': 'coco/bbox_mAP_50',
    'mask AP': 'coco/segm_mAP',
}
# 4 of the 6 epochs that the configs train
cfg_options = {'train_cfg.max_epochs': 4, 'param_scheduler.1.end': 4}
variants = {
    # SPooling, LS-SSA with the rates 1 and 2 at stride 4, 1 to 4 above
    'baseline': dict(),
    'max-pooling': dict(cfg_options=dict(model=dict(backbone=dict(spool='max')))),
    'average-pooling': dict(cfg_options=dict(model=dict(backbone=dict(spool='avg')))),
    'dilation-1': dict(cfg_options=dict(model=dict(backbone=dict(dilations=(1,))))),
    # what the offset term brings, which global attention has no counterpart of
    'no-offset-term': dict(cfg_options=dict(model=dict(backbone=dict(rel_bias=False)))),
    'global-attention': dict(
        cfg_options=dict(model=dict(backbone=dict(attn='global')))
    ),
}
