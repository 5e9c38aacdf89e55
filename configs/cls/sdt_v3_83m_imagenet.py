# SDT-V3 83M: fine-tuning on labels. The masked pre-training that goes before it in the
# published recipe is not part of this toolbox; give its weights with
#   --cfg-options model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.checkpoint=FILE model.backbone.init_cfg.prefix=backbone.
_base_ = [
    '../_base_/models/sdt_v3_large_cls.py',
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    '../_base_/schedules/sdt_v3_large_150e.py',
    '../_base_/classification_runtime.py',
]

train_dataloader = dict(batch_size=128)
