"""Published files wherever mmengine loads a checkpoint.

mmengine offers two places to extend, and both are used from here: its registry of
initialisers, where ``'Pretrained'`` gets to know the module that it fills, and the
loader of files, which serves ``load_from``, ``Runner``, ``init_detector`` and the
inferencers. Checkpoints of trainings and models of other packages are left to mmengine;
a file is read without running code from it.
"""

from collections import OrderedDict

from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from snndense.utils.key_report import ORIGIN

from .loading import match_pretrained, open_weights, published_or_none
from .reading import WEB, read_checkpoint
from .recognition import Published


def describe(path: str, published: Published) -> str:
    """A file, what it holds, and what to know about it."""
    notes = ''.join(f'\n  note: {note}' for note in published.notes)
    return f'{path} holds a published {published}{notes}'


@WEIGHT_INITIALIZERS.register_module(name='Pretrained', force=True)
class SpikingPretrainedInit(PretrainedInit):
    """``init_cfg=dict(type='Pretrained')``: published files, and no random weights.

    Whatever is not published and fills no backbone of this package is left to mmengine.

    Args:
        checkpoint (str): Published, converted or trained file, or an address.
        prefix (str, optional): Prefix of the module's keys. Not needed for published
            files.
        map_location (str): Where tensors go. Defaults to ``'cpu'``.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it does not fit, see
                :func:`~snndense.checkpoints.loading.match_pretrained`.
        """
        from snndense.models.backbones import SpikingBackbone

        is_ours = any(isinstance(part, SpikingBackbone) for part in module.modules())
        is_elsewhere = '://' in self.checkpoint and not self.checkpoint.startswith(WEB)
        if is_elsewhere or not (is_ours or self._is_published()):
            super().__call__(module)
            return
        match = match_pretrained(module, self.checkpoint, self.prefix)
        module.load_state_dict(match.weights, strict=False)
        text = f'{self.checkpoint} initialises {type(module).__name__}:\n{match.report}'
        if match.published is not None:
            text = f'{describe(self.checkpoint, match.published)}\n{text}'
        print_log(text, logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    def _is_published(self) -> bool:
        return open_weights(self.checkpoint)[1] is not None


def load_from_file(filename: str, map_location: str | None = None) -> dict:
    """Read a checkpoint from the disk or the web; a published one under our keys.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read without running code, or is a published file
            that is damaged.
    """
    if '://' in filename and not filename.startswith(WEB):
        raise ValueError(
            f'mmengine cannot fetch {filename}: expected a file or an address that '
            f'begins with one of {", ".join(WEB)}, s3:// or torchvision://. Download '
            'it first'
        )
    checkpoint = read_checkpoint(filename, map_location=map_location)
    published = published_or_none(checkpoint, filename)
    if published is None:
        return checkpoint
    print_log(describe(filename, published), logger='current')
    state_dict = OrderedDict(published.state_dict)
    state_dict._metadata = OrderedDict(backbone={ORIGIN: str(filename)})
    return dict(state_dict=state_dict, meta=checkpoint.get('meta') or {})


def register_loader() -> None:
    """Let mmengine read checkpoints by :func:`load_from_file`."""
    try:
        from mmengine.runner.checkpoint import CheckpointLoader
    except ImportError:  # without OpenCV mmengine has no runner
        return
    CheckpointLoader.register_scheme(['', *WEB], load_from_file, force=True)


register_loader()
