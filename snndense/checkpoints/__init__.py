"""Published checkpoints: key maps, recognition, conversion and loading.

``reading`` opens files, ``recognition`` tells what weights are from keys and shapes
(with one key map and recogniser per upstream), ``traps`` what to know before using
them, ``published`` puts the three together and writes, ``loading`` compares with a
model.
"""

from .published import convert_checkpoint, load_published
from .recognition import FAMILIES, Published, check_parts
from .report import KeyReport

__all__ = [
    'FAMILIES',
    'KeyReport',
    'Published',
    'check_parts',
    'convert_checkpoint',
    'load_published',
]
