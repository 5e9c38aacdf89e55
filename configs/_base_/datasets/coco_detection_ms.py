# As coco_instance_ms.py, without masks
_base_ = './coco_instance_ms.py'

load_annotations = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline = _base_.train_pipeline
train_pipeline[1] = load_annotations
test_pipeline = _base_.test_pipeline
test_pipeline[2] = load_annotations

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
