# As sdt_v3_83m_imagenet.py, then 100 epochs in which a second Linear layer, on spikes,
# learns a teacher's labels; a moving average of the weights is evaluated
_base_ = './sdt_v3_83m_imagenet.py'

pretrained = dict(
    type='Pretrained', checkpoint='work_dirs/sdt_v3_83m_imagenet/epoch_150.pth'
)
model = dict(
    type='snndense.DistilledClassifier',
    # that of SDT-V2; the teacher of SDT-V3 large is not at hand (pip install timm)
    teacher=dict(
        type='TimmClassifier',
        model_name='caformer_b36.sail_in22k_ft_in1k',
        pretrained=True,
    ),
    alpha=0.5,
    backbone=dict(init_cfg=dict(prefix='backbone.', **pretrained)),
    head=dict(
        neuron_cfg=dict(
            _delete_=True,
            type='snndense.IntegerLIF',
            levels=4,
            norm=1,
            rounding='half_up',
            tau=1,
        ),
        with_kd_head=True,
        fc_reads_membranes=True,
        init_cfg=dict(_delete_=True, prefix='head.', **pretrained),
    ),
)

max_epochs = 100
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_epochs
train_cfg = dict(max_epochs=max_epochs)
# decay 0.99996
custom_hooks = [dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
