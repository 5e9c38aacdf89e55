# SpikingResformer's augmentation of event frames: a flip, then one of three.
# Its stem reads three channels: both polarities and their sum.
image_size = 64
event_train_pipeline = [
    dict(type='snndense.LoadEventFrames'),
    dict(type='snndense.EventResize', scale=image_size, mode='bilinear'),
    dict(type='snndense.EventRandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='snndense.EventRandomRoll', max_ratio=1 / 3)],
            [dict(type='snndense.EventRandomRotate', max_angle=30)],
            # a third of each side; the centre may lie at the border
            [
                dict(
                    type='snndense.EventRandomCutout',
                    area_range=(1 / 9, 1 / 9),
                    inside=False,
                )
            ],
        ],
    ),
    dict(type='snndense.AppendPolaritySum'),
    dict(type='PackInputs'),
]
event_test_pipeline = [
    dict(type='snndense.LoadEventFrames'),
    dict(type='snndense.EventResize', scale=image_size, mode='bilinear'),
    dict(type='snndense.AppendPolaritySum'),
    dict(type='PackInputs'),
]
