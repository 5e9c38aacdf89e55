"""An energy report as text, table and figure."""

from pathlib import Path

from matplotlib.figure import Figure

from snndense.utils.tables import (
    format_count,
    format_fields,
    format_shape,
    format_table,
    write_csv,
)

from .energy import EnergyReport

BLUE, ORANGE = '#0072B2', '#D55E00'  # of Okabe and Ito, safe for colour-blind readers
COSTLIEST = 25
HEADER = ('MACs', 'SOPs', 'SOPs by rate', 'energy (mJ)', 'share')


def assumptions(report: EnergyReport) -> tuple[str, ...]:
    """What every number of a report rests on, one sentence each."""
    table = report.table
    lines = [
        f'Energy of {table.name}: {table.mac_pj} pJ per MAC, {table.ac_pj} pJ per '
        f'addition ({table.source}).',
        'SOPs are exact: every layer that reads spikes is replayed with weights of 1, '
        'so borders, strides and groups are right. By mean firing rates, as in most '
        f'papers, they would be {format_count(report.sops_rate)}.',
        f'{_format_text(report)}: an integer n counts as n binary spikes, whatever '
        'the divisor of its neuron.',
        'A layer counts MACs where its input is not spikes, as seen in the values; in '
        'a network without neurons only counts of events are.',
        'A static image passes the layers in front of the first neuron '
        + ('once' if report.first_layer == 'once' else 'at every step')
        + '; event counts are spikes.',
        'A product of spikes adds the cheaper of its sides, for every head, step and '
        'sample.',
        'Batch norms behind a convolution, product or average of spikes are folded '
        'into it, and so are factors on attention; other norms count a MAC per '
        'element. Chains of linear layers that inference merges count as the merged '
        'convolution.',
        'Not in the energy: neuron updates, residual additions, activation functions, '
        'max pooling, decoding of predictions (boxes, masks and logits resized to the '
        'image)'
        + f' and {format_count(sum(x.adds for x in report.layers))} additions of real '
        'values in poolings.',
        'The same network without spikes: dense MACs of one step, on the same images '
        'with as many proposals and detections.',
        "Memory is apart, by spikingjelly's model: weights read at every use, biases "
        'once per output, membranes read and written at each of T x D steps, '
        f'{table.memory_pj_per_byte} pJ per byte. It leaves out activations, spikes in '
        'transit and caches; no measurement.',
        f'{report.num_images} images, padding included: '
        + ', '.join(f'{n} of {format_shape(s)}' for s, n in report.input_shapes.items())
        + '.',
    ]
    if report.firing is not None and (dead := report.firing.dead_layers()):
        lines.append(
            f'{len(dead)} of {len(report.firing.layers)} layers of neurons never '
            'fired, as most of an untrained model do; what reads them costs nothing.'
        )
    if report.uncounted:
        calls = ', '.join(f'{k} ({v} calls)' for k, v in report.uncounted.items())
        lines.append(f'Not counted, since no rule covers them: {calls}.')
    return tuple(lines)


def _format_text(report: EnergyReport) -> str:
    if len(report.formats) < 2:
        return f'T = {report.time_steps}, D = {report.levels}'
    pairs = ', '.join(f'T = {t} with D = {d}' for t, d in report.formats)
    return f'Layers of neurons have {pairs}'


def energy_text(report: EnergyReport, *, with_layers: bool = False) -> str:
    """Tables per part (and layer), totals, layers that multiply, assumptions."""
    tables = []
    if with_layers:
        rows = [
            (
                layer.name,
                layer.operator,
                layer.reads,
                f'{layer.mean_count:.4f}',
                *_costs(report, layer.as_dict()),
            )
            for layer in report.layers
        ]
        header = ('layer', 'operator', 'reads', 'mean count', *HEADER)
        tables.append(format_table(header, rows))
    rows = [(stage, *_costs(report, sums)) for stage, sums in report.stages().items()]
    tables.append(format_table(('part', *HEADER), rows))
    multiplying = [
        f'  {layer.name or "(model)"}: {layer.operator}, {format_count(layer.macs)}'
        + (f' ({layer.notes})' if layer.notes else '')
        for layer in report.layers
        if layer.macs
    ]
    return '\n\n'.join(
        [
            *tables,
            _totals(report),
            '\n'.join(['Layers that multiply:', *multiplying]),
            '\n'.join(['Assumptions:', *(f'- {x}' for x in assumptions(report))]),
        ]
    )


def _costs(report: EnergyReport, sums: dict) -> tuple[str, ...]:
    return (
        format_count(sums['macs']),
        format_count(sums['sops']),
        format_count(sums['sops_rate']),
        f'{sums["energy_mj"]:.4g}',
        f'{sums["energy_mj"] / report.compute_mj if report.compute_mj else 0:.1%}',
    )


def _totals(report: EnergyReport) -> str:
    firing = report.firing
    rate = '-' if firing is None else f'{firing.firing_rate:.4f}'
    fields = {
        'parameters': format_count(report.params),
        'MACs per image': format_count(report.macs),
        'SOPs per image': format_count(report.sops),
        'firing rate': rate,
        'compute energy': f'{report.compute_mj:.4g} mJ per image',
        'without spikes': f'{report.ann_mj:.4g} mJ, '
        f'{format_count(report.ann_macs)} MACs of one step',
        'neuron updates': f'{format_count(report.neuron_ops)}, not in the compute '
        'energy',
        'memory traffic': f'{format_count(report.memory_bytes)}B, '
        f'{report.memory_mj:.4g} mJ, not in the compute energy',
    }
    return format_fields(fields)


def write_energy_csv(report: EnergyReport, path: str | Path) -> None:
    """Write one row per layer and operator."""
    write_csv(path, [layer.as_dict() for layer in report.layers])


def plot_energy(report: EnergyReport) -> Figure:
    """Energy of every part of the model, and of its costliest layers.

    Bars are split into multiply-accumulates of real values and additions of spikes.
    """
    stages = report.stages()
    parts = [(name, sums['mac_mj'], sums['ac_mj']) for name, sums in stages.items()]
    layers = sorted(report.layers, key=lambda x: x.energy_mj, reverse=True)[:COSTLIEST]
    rows = [
        (f'{x.name or "(model)"} ({x.operator})', x.mac_mj, x.ac_mj) for x in layers
    ]
    height = 1.6 + 0.2 * max(len(parts), len(rows))
    figure = Figure(figsize=(12, height), layout='constrained')
    axes = figure.subplots(1, 2)
    for axis, bars, title in (
        (axes[0], parts, 'parts'),
        (axes[1], rows, 'costliest layers'),
    ):
        names, real, spiking = ([bar[i] for bar in bars] for i in range(3))
        positions = range(len(bars))
        axis.barh(positions, spiking, color=BLUE, label='additions of spikes')
        axis.barh(
            positions, real, left=spiking, color=ORANGE, label='real multiplications'
        )
        axis.set_yticks(positions, names, fontsize=6)
        axis.invert_yaxis()
        axis.set_xlabel('mJ per image')
        axis.set_title(title, fontsize=9)
        axis.grid(axis='x', linewidth=0.3)
    axes[1].legend(fontsize=7, loc='lower right')
    figure.suptitle(
        f'{report.compute_mj:.4g} mJ per image ({report.table.name}); '
        f'{report.ann_mj:.4g} mJ without spikes; {report.num_images} images',
        fontsize=10,
    )
    return figure
