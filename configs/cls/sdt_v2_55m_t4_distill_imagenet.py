# As sdt_v2_55m_t4_imagenet.py; a second Linear layer learns a teacher's labels
_base_ = './sdt_v2_55m_t4_imagenet.py'

# the new layer is not in the weights of one time step
load_from = None
pretrained = dict(
    type='Pretrained', checkpoint='work_dirs/sdt_v2_55m_imagenet/epoch_200.pth'
)
model = dict(
    type='snndense.DistilledClassifier',
    # published: CAFormer-B36, trained on ImageNet-21k and -1k (pip install timm)
    teacher=dict(
        type='TimmClassifier',
        model_name='caformer_b36.sail_in22k_ft_in1k',
        pretrained=True,
    ),
    alpha=0.5,
    backbone=dict(init_cfg=dict(prefix='backbone.', **pretrained)),
    head=dict(with_kd_head=True, init_cfg=dict(prefix='head.', **pretrained)),
)
