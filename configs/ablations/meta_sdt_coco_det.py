# The channel mixers of Meta-SDT at the published size L, in detection on COCO:
#   python tools/misc/ablation.py configs/ablations/meta_sdt_coco_det.py
metrics = {
    'box AP': 'coco/bbox_mAP',
    'box AP50': 'coco/bbox_mAP_50',
    'mask AP': 'coco/segm_mAP',
}
variants = dict(
    srb=dict(config='../det/meta_sdt_srb_coco.py'),
    mlpixer=dict(config='../det/meta_sdt_mlpixer_coco.py'),
    conv=dict(config='../det/meta_sdt_conv_coco.py'),
)
