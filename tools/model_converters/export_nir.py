"""Export a backbone, up to one of its taps, as a NIR graph for neuromorphic tools.

NIR knows linear and convolutional layers, sums, average pooling and binary neurons with
a hard reset; everything else (attention, integer neurons, grouped convolutions, max
pooling) is refused by name. The graph describes one time step; it is read back and run
for T steps on a random image before it is kept. Example:

  python tools/model_converters/export_nir.py CONFIG CHECKPOINT stem.nir --tap 2
"""

import argparse

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from snndense.export.nir import DT, TOLERANCE, export_nir
from snndense.export.parts import ExportedPart
from snndense.studies.measuring import default_shape, get_backbone, load_model
from snndense.utils import cli


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config(parser, 'model')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file (default: random weights)'
    )
    parser.add_argument('out', help='the file to write, HDF5')
    parser.add_argument(
        '--tap',
        type=int,
        metavar='INDEX',
        help="tap of the backbone to end at (default: the last of the config's)",
    )
    cli.add_shape(parser, 'what the test pipeline of the config makes')
    parser.add_argument(
        '--dt',
        type=float,
        default=DT,
        help='seconds of a time step (default: %(default)s)',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=TOLERANCE,
        help='mean deviation from torch that is allowed, as a fraction of the mean '
        'output (default: %(default)s)',
    )
    return parser.parse_args()


def backbone_until(cfg: Config, checkpoint: str | None, tap: int | None) -> nn.Module:
    """The backbone of a config, without what lies behind a tap."""
    whole = get_backbone(load_model(cfg, checkpoint))
    tap = whole.out_indices[-1] if tap is None else tap
    settings = dict(cfg.model.backbone, out_indices=(tap,), out_mode='sequence')
    settings.pop('init_cfg', None)
    part = MODELS.build(settings)
    weights = whole.state_dict()
    missing = [key for key in part.state_dict() if key not in weights]
    if missing:
        raise ValueError(
            f'the model of the config has no weights for tap {tap}: {missing[0]}; '
            'choose one of model.backbone.out_indices'
        )
    part.load_state_dict({key: weights[key] for key in part.state_dict()})
    return part.eval()


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        cfg = cli.read_config(args.config, args.cfg_options)
        backbone = backbone_until(cfg, args.checkpoint, args.tap)
        if args.checkpoint is None:
            print('No checkpoint: the weights are random')
        shape = tuple(args.shape or default_shape(cfg))
        example = ExportedPart(backbone).make_input(shape)
        deviation = export_nir(
            backbone, example, args.out, dt=args.dt, tolerance=args.tolerance
        )
    print(
        f'{args.out}: {type(backbone).__name__} up to tap {backbone.out_indices[0]}, '
        f'{shape[0]} x {shape[1]}; over {backbone.time_steps} steps within '
        f'{deviation:.1e} of torch'
    )


if __name__ == '__main__':
    main()
