"""Learning rates that fall from the head towards the input."""

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from snndense.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor with layer-wise decay of the learning rate.

    The rate of a parameter is multiplied by ``layer_decay_rate ** (layers - 1 -
    depth)``, as in BEiT (https://arxiv.org/abs/2106.08254); depth and number of layers
    are told by ``get_layer_depth`` of the backbone, and what is no backbone learns at
    the full rate. Works for detectors, segmentors and classifiers alike.

    Rates are those of mmpretrain's ``LearningRateDecayOptimWrapperConstructor``.
    Difference: that one needs a classifier; here all of mmengine's ``paramwise_cfg``
    counts, ``lr_mult`` of ``custom_keys`` too. Usage::

        optim_wrapper = dict(
            constructor='snndense.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.75),
        )

    Raises:
        ValueError: If ``layer_decay_rate`` is missing or not in (0, 1].
        TypeError: If the backbone does not tell depths.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if rate is None or not 0 < rate <= 1:
            raise ValueError(
                'expected paramwise_cfg=dict(layer_decay_rate=...) with a rate above 0 '
                f'and up to 1, but got {rate!r}'
            )

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs
    ) -> None:
        """Add a group per parameter; see ``DefaultOptimWrapperConstructor``."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix:  # called by itself for the parts of the model
            return
        backbone = getattr(module, 'backbone', None)
        if not hasattr(backbone, 'get_layer_depth'):
            raise TypeError(
                'layer-wise decay needs a model whose backbone has get_layer_depth, as '
                f'those of snndense; got {type(module).__name__} with '
                f'{type(backbone).__name__}'
            )
        names = {parameter: name for name, parameter in module.named_parameters()}
        rate = self.paramwise_cfg['layer_decay_rate']
        for group in params:
            name = names[group['params'][0]]
            depth, num_layers = backbone.get_layer_depth(name, 'backbone.')
            scale = rate ** (num_layers - 1 - depth)
            group['lr'] = scale * group.get('lr', self.base_lr)
            group['param_name'] = name
