"""Pictures of what a run has logged."""

from pathlib import Path

from matplotlib.figure import Figure


def plot_curves(
    steps: list[int], curves: dict[str, list[float]], path: Path, **axes
) -> None:
    """Draw curves over common steps.

    Args:
        steps (list[int]): Iterations or epochs.
        curves (dict[str, list[float]]): Values by label.
        path (Path): The picture to write.
        **axes: Labels and limits, see matplotlib's ``Axes.set``.
    """
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axis = figure.add_subplot()
    for label, values in curves.items():
        axis.plot(steps, values, '.-', label=label)
    axis.set(**axes)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
