"""What layers have done, added up over the runs of a model."""

from dataclasses import dataclass, field, fields

from .origins import IMAGE, NEURONS, Time


@dataclass
class Tally:
    """What one operator of one layer has done so far.

    What depends on the image alone is there once, however often it was computed.

    Attributes:
        macs (int): Multiply-accumulates, as if all operands were dense.
        step_macs (int): Those of one time step.
        real_macs (int): Those of them without a spike operand.
        first_macs (int): Those of them that depend on the image alone.
        sops (int): Additions that spikes cause, exact.
        sops_rate (float): The same by mean rate times dense operations.
        coincidences (int): Pairs of spikes that meet in a product of spikes.
        gates (int): Values that a spike lets pass in an elementwise product.
        adds (int): Additions of real values in a pooling.
        spikes, elements (int): Of the spike operands, for their mean count.
        weight_bytes, bias_bytes (int): Parameters read, once per use.
        calls (int): How often it ran.
        notes (set[str]): What the reader should know.
        reads (set[str]): ``'spikes'``, ``'real'``.
    """

    macs: int = 0
    step_macs: int = 0
    real_macs: int = 0
    first_macs: int = 0
    sops: int = 0
    sops_rate: float = 0.0
    coincidences: int = 0
    gates: int = 0
    adds: int = 0
    spikes: int = 0
    elements: int = 0
    weight_bytes: int = 0
    bias_bytes: int = 0
    calls: int = 0
    notes: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)

    def add(self, other: 'Tally') -> None:
        """Add another one to this."""
        for each in fields(self):
            mine, its = getattr(self, each.name), getattr(other, each.name)
            both = mine | its if isinstance(mine, set) else mine + its
            setattr(self, each.name, both)

    def close(self, time: Time, repetitions: int) -> None:
        """Set what is known at the end of a run only.

        Args:
            time (Time): How what it did depends on time.
            repetitions (int): How many time steps it ran for.
        """
        if time.source == IMAGE:
            for name in ('macs', 'real_macs', 'adds', 'weight_bytes', 'bias_bytes'):
                setattr(self, name, getattr(self, name) // repetitions)
            self.step_macs, self.first_macs = self.macs, self.real_macs
        else:
            self.step_macs = self.macs // repetitions


class TallyBook:
    """Tallies of a model.

    Attributes:
        tallies (dict): ``(layer name, operator)`` -> :class:`Tally`, of the runs that
            are closed.
    """

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str], Tally] = {}
        self._run: dict[tuple[str, str, Time], Tally] = {}

    def entry(self, layer: str, operator: str, time: Time) -> Tally:
        """Tally of one operator of one layer in the run at hand, to be added to."""
        return self._run.setdefault((layer, operator, time), Tally())

    def close_run(self, time_steps: int, loops: int) -> None:
        """Add up what the run at hand has done.

        Args:
            time_steps (int): T of the model.
            loops (int): How often its single-step neurons were called; 0 without.
        """
        for (layer, operator, time), tally in self._run.items():
            tally.close(time, _repetitions(time, tally.calls, time_steps, loops))
            self.tallies.setdefault((layer, operator), Tally()).add(tally)
        self._run.clear()


def _repetitions(time: Time, calls: int, time_steps: int, loops: int) -> int:
    """Time steps that a layer ran for in so many calls."""
    if time.source == IMAGE and time.steps == time_steps > 1:
        return time_steps
    if time.source == NEURONS and time.steps > 1:
        return time.steps
    # a loop over time calls every layer in it equally often
    return loops if loops and calls % loops == 0 else 1
