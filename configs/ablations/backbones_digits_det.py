# A small model of every family under the same spiking Mask R-CNN, at one budget:
#   python tools/misc/ablation.py configs/ablations/backbones_digits_det.py
metrics = {
    'box AP': 'coco/bbox_mAP',
    'box AP50': 'coco/bbox_mAP_50',
    'mask AP': 'coco/segm_mAP',
}
variants = dict(
    meta_sdt_srb=dict(config='../det/meta_sdt_srb_digits.py'),
    lsformer=dict(config='../det/lsformer_digits.py'),
    spiking_resformer=dict(config='../det/spiking_resformer_digits.py'),
    spikformer=dict(config='../det/spikformer_digits.py'),
)
