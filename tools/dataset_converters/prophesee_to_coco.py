"""Write COCO annotations for Prophesee's automotive recordings (Gen1, 1 Mpx)."""

import argparse

from snndense.datasets.event_prophesee import SENSORS, SPLITS, prophesee_to_coco
from snndense.utils import cli


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__
        + ' Expected under ROOT: the folders of the splits, each with <clip>_td.dat '
        'and <clip>_bbox.npy; written: ROOT/annotations/instances_<split>.json. The '
        'clips stay as they are and are read while training.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--root', default='data/gen1', help='folder of the data set')
    parser.add_argument(
        '--sensor',
        choices=tuple(SENSORS),
        default='gen1',
        help='which data set: its size, classes, and the boxes that count',
    )
    parser.add_argument(
        '--splits', nargs='+', choices=SPLITS, default=list(SPLITS), help='what to do'
    )
    parser.add_argument(
        '--downsample',
        type=int,
        default=1,
        metavar='N',
        help='pixels of the sensor per pixel, in either direction; 2 is usual for 1mpx',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with cli.short_errors():
        for split in args.splits:
            path = prophesee_to_coco(
                args.root, split, args.sensor, downsample=args.downsample
            )
            print(f'wrote {path}')


if __name__ == '__main__':
    main()
