"""Firing rates while a model trains."""

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from snndense.analysis.firing import FiringReport
from snndense.analysis.firing_meter import FiringMeter
from snndense.analysis.neurons import find_neurons
from snndense.registry import HOOKS


@HOOKS.register_module()
class FiringRateHook(Hook):
    """Log how the neurons fire, and warn of layers that do not.

    A layer that has stopped firing passes nothing on, and behind it hardly a gradient
    comes back; the loss tells it late. At every ``interval``-th iteration the neurons
    are watched for that iteration, over all processes; in between nothing is attached
    to the model. The visualizer gets ``firing/rate`` (of all neurons), and ``firing/``
    and the name of the layer with the rate of each, beside the losses in TensorBoard or
    ``vis_data``; the log gets a line.

    Args:
        interval (int): Iterations from one look to the next. Defaults to 500.
        dead_rate (float): Warn of layers whose firing rate is not above it.
            Defaults to 1e-4.
        per_layer (bool): Whether the visualizer gets the rate of every layer, not only
            the mean. Defaults to True.

    Raises:
        ValueError: If ``interval`` or ``dead_rate`` is out of range, or, as training
            begins, if the model has no neuron.
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 500, dead_rate: float = 1e-4, per_layer: bool = True
    ) -> None:
        if interval < 1 or not 0 <= dead_rate < 1:
            raise ValueError(
                f'expected interval >= 1 and 0 <= dead_rate < 1, but got {interval=}, '
                f'{dead_rate=}'
            )
        self.interval = interval
        self.dead_rate = dead_rate
        self.per_layer = per_layer
        self._meter: FiringMeter | None = None
        self._dead: list[str] = []

    def before_train(self, runner: Runner) -> None:
        find_neurons(self._model(runner))  # or fail now, not hours later

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        if self.every_n_train_iters(runner, self.interval):
            self._meter = FiringMeter(self._model(runner))
            self._meter.attach()

    @staticmethod
    def _model(runner: Runner) -> nn.Module:
        model = runner.model
        return model.module if is_model_wrapper(model) else model

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        if self._meter is None:
            return
        meter, self._meter = self._meter, None
        meter.detach()
        meter.reduce()
        report = meter.report()
        if report.layers:
            self._log(runner, report)

    def _log(self, runner: Runner, report: FiringReport) -> None:
        scalars = {'firing/rate': report.firing_rate}
        if self.per_layer:
            rates = {f'firing/{x.name}': x.firing_rate for x in report.layers}
            scalars.update(rates)
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
        lowest = min(report.layers, key=lambda layer: layer.firing_rate)
        runner.logger.info(
            f'firing rate {report.firing_rate:.4f} over {len(report.layers)} layers, '
            f'lowest {lowest.firing_rate:.4f} in {lowest.name}'
        )
        dead = report.dead_layers(self.dead_rate)
        if dead and dead != self._dead:  # once for each new set
            names = ', '.join(dead)
            runner.logger.warning(
                f'{len(dead)} of {len(report.layers)} layers do not fire (rate <= '
                f'{self.dead_rate}): {names}. What is behind them gets no signal: look '
                'at the norm in front of them, the threshold and the learning rate'
            )
        self._dead = dead
