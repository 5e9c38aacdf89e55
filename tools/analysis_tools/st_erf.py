"""Effective receptive field of layers, in space and time, of one model or several.

Arrays, a table and figures are written. Examples:

  # the stages of an untrained backbone, on noise
  python tools/analysis_tools/st_erf.py configs/det/meta_sdt_srb_digits.py \\
      --out work_dirs/erf

  # two trained detectors side by side, on pictures
  python tools/analysis_tools/st_erf.py A.py A.pth --vs B.py B.pth \\
      --images data/digit_scenes/coco/val --out work_dirs/erf

  # the attention projections of the fourth stage
  python tools/analysis_tools/st_erf.py configs/det/meta_sdt_srb_digits.py \\
      --layers 'stages.3.*.attn.proj_conv'

  # a stock Swin: the attentions of the first two stages
  python tools/analysis_tools/st_erf.py SWIN.py SWIN.pth --layers 'stages.[01].*.attn'

  # a stock vision transformer, whose layers do not tell rows and columns
  python tools/analysis_tools/st_erf.py VIT.py VIT.pth --layers 'layers.*.attn.proj' \\
      --token-grid --class-tokens 1
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from mmengine.config import Config
from torch import Tensor, nn

from snndense.analysis import st_erf_plots as plots
from snndense.analysis.st_erf import STERFResult
from snndense.analysis.st_erf_files import (
    format_statistics,
    format_token_grids,
    measure_erf,
    statistics_rows,
    write_arrays,
    write_statistics,
)
from snndense.analysis.tokens import TokenLayout, TokenLayoutError
from snndense.studies import erf_models
from snndense.utils import cli
from snndense.utils.files import complete_folder
from snndense.utils.tables import format_shape


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    cli.add_field_images(
        parser,
        erf_models.RANDOM,
        'those of the first; of noise, what the test pipeline makes',
    )
    parser.add_argument(
        '--unit',
        nargs='+',
        default=['center'],
        metavar='center|all|ROW COLUMN',
        help="seeded unit in the layer's own grid (default: center)",
    )
    parser.add_argument(
        '--time',
        type=int,
        help='step from which delays count back (default: the last)',
    )
    parser.add_argument('--batch-size', type=int, default=4, help='default: 4')
    parser.add_argument(
        '--seed', type=int, default=0, help='of weights and noise (default: 0)'
    )
    cli.add_device(parser, default='cpu')
    add_output(parser)
    args = parser.parse_args()
    if any(len(other) > 2 for other in args.vs):
        parser.error('--vs takes a config and, after it, at most one checkpoint')
    return args


def add_models(parser: argparse.ArgumentParser) -> None:
    cli.add_config(parser, 'model')
    parser.add_argument(
        'checkpoint', nargs='?', help='its weights (default: those it starts from)'
    )
    parser.add_argument(
        '--vs',
        nargs='+',
        action='append',
        default=[],
        metavar=('CONFIG', 'CHECKPOINT'),
        help='one more model for the same figures; may be given several times',
    )
    parser.add_argument(
        '--names', nargs='+', help='names of the models (default: those of the files)'
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        help='names of layers in the backbone, or patterns in quotation marks; '
        "'attn' for its attention projections (default: the stages of a spiking "
        'backbone)',
    )
    add_tokens(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--log', action='store_true', help='logarithmic maps')
    parser.add_argument('--cmap', default='gray', help='colour map (default: gray)')
    parser.add_argument(
        '--shared-scale', action='store_true', help='one scale for all maps'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/st_erf'),
        help='new or empty folder (default: %(default)s)',
    )


def add_tokens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--token-grid',
        type=int,
        nargs='*',
        metavar='H W',
        help='rows and columns of layers on tokens; without numbers, the size of the '
        'image over the one stride that gives as many (default: what a layer gets or '
        'gives beside its tokens, as those of Swin do)',
    )
    parser.add_argument(
        '--class-tokens',
        type=int,
        metavar='N',
        help='tokens in front that stand for no place (default: 0)',
    )
    parser.add_argument(
        '--channels-first',
        action='store_true',
        help='layers on tokens have the shape (N, C, L) instead of (N, L, C)',
    )


def read_tokens(args: argparse.Namespace) -> TokenLayout | None:
    """What :func:`add_tokens` got; None if nothing was asked for."""
    grid = args.token_grid
    if grid is None and args.class_tokens is None and not args.channels_first:
        return None
    if grid and (len(grid) != 2 or min(grid) < 1) or (args.class_tokens or 0) < 0:
        raise ValueError(
            f'expected --token-grid to be none or H W and --class-tokens 0 or more, '
            f'but got {grid} and {args.class_tokens}'
        )
    return TokenLayout(
        grid=tuple(grid) if grid else None,
        channels_last=not args.channels_first,
        class_tokens=args.class_tokens or 0,
    )


def parse_unit(words: list[str]) -> str | tuple[int, int]:
    if len(words) == 1:
        return words[0]
    try:
        row, column = map(int, words)
    except ValueError:
        raise ValueError(
            f'expected --unit center, all or a row and a column, but got {words}'
        ) from None
    return row, column


def model_names(files: list[tuple], names: list[str] | None) -> list[str]:
    """A name for every model, each different."""
    if names is None:
        names = [Path(config).stem for config, _ in files]
        if len(set(names)) < len(names):
            names = [
                name if checkpoint is None else f'{name}_{Path(checkpoint).stem}'
                for name, (_, checkpoint) in zip(names, files, strict=True)
            ]
    if len(names) != len(files) or len(set(names)) < len(names):
        raise ValueError(
            f'expected {len(files)} different names, but got {names}; set --names'
        )
    return names


def find_layers(backbone: nn.Module, layers: list[str] | None) -> list[str] | None:
    if layers == ['attn']:
        return None  # what the backbone tells
    if layers is not None:
        return layers
    if not hasattr(backbone, 'stage_outputs'):
        children = ', '.join(name for name, _ in backbone.named_children())
        raise ValueError(
            f'give --layers: {type(backbone).__name__} consists of {children}'
        )
    return backbone.stage_outputs()


def measure(
    cfg: Config, checkpoint: str | None, images: Tensor | None, args
) -> tuple[dict[str, STERFResult], Tensor]:
    """Measure one model; the images are read with the first."""
    model = erf_models.build_for_erf(
        cfg, checkpoint, seed=args.seed, device=args.device
    )
    backbone = model.backbone
    layers = find_layers(backbone, args.layers)
    if images is None:
        images = erf_models.read_images(
            cfg,
            model,
            args.images,
            num_images=args.num_images,
            shape=args.shape,
            seed=args.seed,
        )
    if checkpoint is None and not erf_models.is_pretrained(backbone):
        print('untrained: the statistics of the batch norms are those of the images')
        erf_models.calibrate_norms(backbone, images.split(args.batch_size))
    try:
        results = measure_erf(
            backbone,
            layers,
            images,
            unit=parse_unit(args.unit),
            time=args.time,
            tokens=read_tokens(args),
            batch_size=args.batch_size,
            progress=True,
        )
    except TokenLayoutError as error:
        raise ValueError(
            f'{error}. Set --token-grid, --class-tokens or --channels-first, or choose '
            'a layer around this one'
        ) from None
    if grids := format_token_grids(results):
        print(grids)
    for result in results.values():
        result.meta.update(images=args.images, checkpoint=checkpoint, seed=args.seed)
    return results, images


def figures(measured: dict[str, dict[str, STERFResult]], args) -> dict[str, Figure]:
    spatial = {name: results['spatial'] for name, results in measured.items()}
    drawn = dict(
        maps=plots.plot_erf(
            spatial, log=args.log, cmap=args.cmap, shared=args.shared_scale
        ),
        areas=plots.plot_areas(spatial),
    )
    if args.unit != ['all']:
        drawn['profiles'] = plots.plot_profiles(spatial)
    delays = {
        name: results['spatiotemporal']
        for name, results in measured.items()
        if 'spatiotemporal' in results
    }
    if delays:
        drawn['delays'] = plots.plot_erf(
            delays, log=args.log, cmap=args.cmap, shared=args.shared_scale
        )
        drawn['temporal'] = plots.plot_temporal(delays)
    return drawn


def main() -> None:
    args = parse_args()
    with (
        cli.short_errors(),
        cli.named_image_errors(),
        complete_folder(args.out) as folder,
    ):
        files = [(args.config, args.checkpoint)]
        files += [(other[0], (*other, None)[1]) for other in args.vs]
        names = model_names(files, args.names)
        cfgs = [cli.read_config(config, args.cfg_options) for config, _ in files]
        measured, images = {}, None
        for name, cfg, (_, checkpoint) in zip(names, cfgs, files, strict=True):
            print(name, flush=True)
            measured[name], images = measure(cfg, checkpoint, images, args)
        rows = []
        for name, results in measured.items():
            rows += statistics_rows(name, results)
            write_arrays(folder / f'{name}.npz', results)
        write_statistics(folder / 'statistics.csv', rows)
        for name, figure in figures(measured, args).items():
            figure.savefig(folder / f'{name}.png', dpi=120)
    print(format_statistics(rows))
    count = next(iter(measured.values()))['spatial'].n_images
    size = format_shape(images.shape[-2:])
    print(f'{count} images of {size} ({args.images}); radii and sigma in pixels, areas')
    print(f'as shares of the image. Arrays, table and figures are in {args.out}')


if __name__ == '__main__':
    main()
