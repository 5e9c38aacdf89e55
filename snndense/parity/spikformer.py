"""Port of Spikformer, in its three published definitions."""

from torch import Tensor, nn

from snndense.checkpoints.spikformer import SPIKFORMER_CLASSIFIER
from snndense.models.backbones.spikformer import Spikformer

from .fixture import Fixture
from .port import Port, register_port

#: Folder of the published definition -> our flavour.
FLAVOURS = {'imagenet': 'imagenet', 'cifar10': 'cifar', 'cifar10dvs': 'dvs'}


@register_port('Spikformer')
def whole_model(fixture: Fixture) -> Port:
    kw = fixture.kwargs
    flavour = FLAVOURS[fixture.upstream_path.split('/')[0]]
    shape = fixture.input_shapes[0]
    backbone = Spikformer(
        dict(
            flavour=flavour,
            embed_dims=kw['embed_dims'],
            depths=kw['depths'],
            num_heads=kw['num_heads'],
            mlp_ratio=kw['mlp_ratios'],
        ),
        time_steps=shape[1] if len(shape) == 5 else kw.get('T', 4),
        out_mode='sequence',
    )
    fc = nn.Linear(backbone.out_channels[-1], kw['num_classes'])
    head = nn.ModuleDict(dict(fc=fc))
    model = nn.ModuleDict(dict(backbone=backbone, head=head))
    names = [entry['name'] for entry in fixture.eval]

    def in_upstream_layout(x: Tensor) -> Tensor:
        # tokens before channels, where blocks consist of Linear layers
        return x.flatten(2).mT if flavour == 'cifar' else x

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        x = inputs[0]
        if x.dim() == 4 and backbone.training:
            # as event frames, since the running variance of the first norm depends on
            # the number of images: upstream repeats them in front of it
            x = x.unsqueeze(1).repeat(1, backbone.time_steps, 1, 1, 1)
        first, *units = backbone.patch_embed
        x = first.fire(backbone.encode(x, first.conv))
        outputs = {'patch_embed.maxpool': x}
        for index, unit in enumerate(units, start=1):
            x = outputs[f'patch_embed.maxpool{index}'] = unit(x)
        x = x + backbone.position(x)
        outputs['patch_embed'] = in_upstream_layout(x)
        for index, block in enumerate(backbone.blocks):
            x = block(x)
            outputs[f'block{index}'] = in_upstream_layout(x)
        features = x.mean((2, 3)).unflatten(0, (backbone.time_steps, -1)).mean(0)
        outputs['out'] = fc(features)
        return [outputs[name] for name in names]

    return Port(model, SPIKFORMER_CLASSIFIER, forward)
