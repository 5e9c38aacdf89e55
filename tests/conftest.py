from pathlib import Path

import pytest

from snndense.datasets import DigitScenesSettings, make_digit_scenes


@pytest.fixture(scope='session')
def digit_scenes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of digit scenes for all tasks: 16 pictures to train, 8 to validate.

    Its folders are ``coco``, ``ade`` and ``cls``; do not write into it.
    """
    root = tmp_path_factory.mktemp('data') / 'digit_scenes'
    settings = DigitScenesSettings(num_train=16, num_val=8, image_size=64, max_digits=4)
    make_digit_scenes(root, settings, progress=False)
    return root
