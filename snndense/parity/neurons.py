"""Port of spikingjelly's neurons, with the membranes they are left with."""

from torch import Tensor, nn

from snndense.checkpoints.key_map import KeyMap
from snndense.models.layers import IF, LIF, PLIF

from .fixture import Fixture
from .port import Port, register_port


@register_port('neuron.LIFNode / ParametricLIFNode / IFNode, multi-step')
def neurons(fixture: Fixture) -> Port:
    """Several neurons that receive the same current."""
    time_steps, _, channels = fixture.input_shapes[0]
    out_channels = fixture.state_dict()['fc.weight'].shape[0]
    module = nn.ModuleDict(
        dict(
            fc=nn.Linear(channels, out_channels, bias=False),
            lif_atan=LIF(time_steps=time_steps, surrogate='atan'),
            plif_atan=PLIF(time_steps=time_steps, surrogate='atan'),
            if_atan=IF(time_steps=time_steps, surrogate='atan'),
            lif_sigmoid=LIF(time_steps=time_steps),
            lif_sigmoid_th05=LIF(time_steps=time_steps, v_threshold=0.5),
        )
    )
    names = [entry['name'] for entry in fixture.eval if '.' not in entry['name']]

    def forward(inputs: list[Tensor]) -> list[Tensor]:
        current = module['fc'](inputs[0])
        return [out for name in names for out in module[name].integrate(current)]

    return Port(module, KeyMap(()), forward)
