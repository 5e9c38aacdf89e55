# Spikformer's augmentation of event frames: a flip, then one of six.
event_choice = dict(
    type='RandomChoice',
    transforms=[
        [],
        [dict(type='snndense.EventRandomShear', max_shear=0.3)],
        [dict(type='snndense.EventRandomTranslate', direction='horizontal')],
        [dict(type='snndense.EventRandomTranslate', direction='vertical')],
        [dict(type='snndense.EventRandomRotate', max_angle=30)],
        [dict(type='snndense.EventRandomCutout', area_range=(0.001, 0.11))],
    ],
)
event_train_pipeline = [
    dict(type='snndense.LoadEventFrames'),
    dict(type='snndense.EventRandomFlip', prob=0.5),
    event_choice,
    dict(type='PackInputs'),
]
