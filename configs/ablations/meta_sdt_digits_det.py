# The channel mixers of Meta-SDT at one budget, in detection:
#   python tools/misc/ablation.py configs/ablations/meta_sdt_digits_det.py
metrics = {
    'box AP': 'coco/bbox_mAP',
    'box AP50': 'coco/bbox_mAP_50',
    'mask AP': 'coco/segm_mAP',
}
# 4 of the 6 epochs that the configs train
cfg_options = {'train_cfg.max_epochs': 4, 'param_scheduler.1.end': 4}
variants = dict(
    srb=dict(config='../det/meta_sdt_srb_digits.py'),
    mlpixer=dict(config='../det/meta_sdt_mlpixer_digits.py'),
    conv=dict(config='../det/meta_sdt_conv_digits.py'),
)
