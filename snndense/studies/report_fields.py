"""Figures of receptive fields for a report."""

from matplotlib import rc_context

from snndense.analysis.st_erf import STERFResult
from snndense.analysis.st_erf_plots import plot_areas, plot_erf, plot_temporal

from .report_page import PHONE, PIXELS, Picture

LETTERS = 7.5  # points, which are 10 pixels
SMALLEST = 0.7  # panel, inches


def erf_pictures(results: dict[str, STERFResult]) -> list[Picture]:
    """Receptive fields, drawn as wide as a phone."""
    spatial = {'': results['spatial']}
    look = dict(log=True, cmap='magma', bar='bottom')
    with rc_context({'font.size': LETTERS}):
        figures = [
            (
                plot_erf(spatial, **look, **_panels(3)),
                'Receptive field of the central unit of every layer, in the image',
            ),
            (
                plot_areas(spatial, size=0.5),
                'Pixels that, strongest first, hold 50 and 90 % of the field',
            ),
        ]
        if 'spatiotemporal' in results:
            delays = {'': results['spatiotemporal']}
            steps = results['spatiotemporal'].meta['time_steps']
            figures += [
                (
                    plot_erf(delays, **look, **_panels(steps)),
                    'The same for every delay, counted back from the last step',
                ),
                (
                    plot_temporal(delays, **_panels(3, margin=0.7)),
                    'What every delay contributes, over the largest',
                ),
            ]
        return [Picture.of(figure, caption) for figure, caption in figures]


def _panels(columns: int, margin: float = 0.4) -> dict:
    """Panels of a figure that is as wide as a phone, if so many fit."""
    width = (PHONE / PIXELS - margin) / columns
    return dict(size=max(width, SMALLEST), columns=columns)
