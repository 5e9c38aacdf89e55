"""Published checkpoints: key maps, recognition, conversion and loading.

``reading`` opens files, ``recognition`` tells what weights are from keys and shapes
(with one key map and recogniser per upstream), ``traps`` what to know before using
them, ``published`` puts the three together and writes, ``loading`` compares with a
model.
"""

from snndense.utils.key_report import KeyReport

from .published import convert_checkpoint, load_published
from .recognition import FAMILIES, Published, check_parts

__all__ = [
    'FAMILIES',
    'KeyReport',
    'Published',
    'check_parts',
    'convert_checkpoint',
    'load_published',
]
