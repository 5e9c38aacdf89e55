"""Export a backbone, a neck or a whole classifier or segmentor to ONNX.

Shapes are static and the time steps unrolled. The input is an image as the data
preprocessor of the config leaves it, (N, C, H, W); its means and deviations are stored
in the file. onnxruntime runs the file on a random image before it is kept and the
outputs are compared with torch. Examples:

  python tools/model_converters/export_onnx.py CONFIG CHECKPOINT model.onnx --part model
  python tools/model_converters/export_onnx.py CONFIG backbone.onnx --shape 512 512
  python tools/model_converters/export_onnx.py CONFIG CHECKPOINT model.onnx \\
      --part model --spike-driven
"""

import argparse
from pathlib import Path

from mmengine.config import Config
from torch import nn

from snndense.export.onnx import OPSET, TOLERANCE, OutputCheck, export_onnx
from snndense.export.parts import PARTS, ExportedPart
from snndense.models.time_steps import get_steps, set_steps
from snndense.studies.measuring import default_shape, load_model
from snndense.utils import cli
from snndense.utils.tables import format_shape, format_table
from snndense.version import __version__

HEADER = ('output', 'shape', 'mean', 'largest deviation', 'mean deviation', 'rounding')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config(parser, 'model')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file (default: random weights)'
    )
    parser.add_argument('out', help='the .onnx file to write')
    cli.add_shape(parser, 'what the test pipeline of the config makes')
    parser.add_argument(
        '--part',
        choices=PARTS,
        default='backbone',
        help="the maps of the backbone, those behind the neck, or the 'model' with its "
        'logits (default: %(default)s)',
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, help='images per call (default: 1)'
    )
    parser.add_argument(
        '--event-frames',
        action='store_true',
        help='the input are event frames (N, T, C, H, W) instead of an image',
    )
    cli.add_steps(parser)
    parser.add_argument(
        '--opset', type=int, default=OPSET, help='ONNX operators (default: %(default)s)'
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=TOLERANCE,
        help='mean deviation from torch that is allowed beyond rounding, as a fraction '
        'of the mean output (default: %(default)s)',
    )
    parser.add_argument(
        '--no-check', action='store_true', help='do not run the file with onnxruntime'
    )
    return parser.parse_args()


def describe(args: argparse.Namespace, cfg: Config, model: nn.Module) -> dict:
    """What the file tells about itself."""
    steps = get_steps(model)
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    keys = ('mean', 'std', 'bgr_to_rgb', 'to_rgb')
    normalisation = {k: preprocessor[k] for k in keys if k in (preprocessor or {})}
    return dict(
        snndense_version=__version__,
        config=Path(args.config).name,
        checkpoint=Path(args.checkpoint).name if args.checkpoint else '',
        part=args.part,
        time_steps=steps.time_steps,
        levels=steps.levels,
        spike_driven=steps.spike_driven,
        normalisation=normalisation,
    )


def table(checks: list[OutputCheck]) -> str:
    rows = [
        (
            check.name,
            format_shape(check.shape),
            f'{check.magnitude:.3g}',
            f'{check.largest:.1e}',
            f'{check.mean:.1e}',
            f'{check.rounding:.1e}',
        )
        for check in checks
    ]
    return format_table(HEADER, rows)


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        if Path(args.out).suffix != '.onnx':
            raise ValueError(f'expected a .onnx file to write, but got {args.out}')
        cfg = cli.read_config(args.config, args.cfg_options)
        model = load_model(cfg, args.checkpoint)
        if args.checkpoint is None:
            print('No checkpoint: the weights are random')
        part = ExportedPart(model, args.part)
        if steps := cli.read_steps(args):
            set_steps(model, **steps)
        example = part.make_input(
            tuple(args.shape or default_shape(cfg)), args.batch_size, args.event_frames
        )
        checks = export_onnx(
            part,
            example,
            args.out,
            opset=args.opset,
            tolerance=args.tolerance,
            check=not args.no_check,
            metadata=describe(args, cfg, model),
        )
    if checks:
        print(table(checks), end='\n\n')
    size = Path(args.out).stat().st_size / 2**20
    shape = format_shape(example.shape)
    print(f'{args.out}: {size:.1f} MiB, input image: {shape}, {get_steps(model)}')


if __name__ == '__main__':
    main()
