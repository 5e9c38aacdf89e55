"""How an upstream class is expressed with this package's modules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from snndense.checkpoints.key_map import KeyMap

from .fixture import Fixture


@dataclass
class Port:
    """Our module in the place of an upstream one.

    Args:
        module (nn.Module): Built for the fixture, any dtype.
        key_map (KeyMap): Upstream keys to ours.
        forward (callable): ``forward(inputs)`` -> outputs in the recorded order,
            with the recorded number of elements.
        forward_mean (callable, optional): The same averaged over time, where the
            module itself averages and the fixture records both.
        upstream_prefix (str): Where a single block would sit in the whole
            upstream model, so that the key map of whole checkpoints applies.
        prefix (str): Where it sits in ours.
    """

    module: nn.Module
    key_map: KeyMap
    forward: Callable[[list[Tensor]], Sequence[Tensor]]
    forward_mean: Callable[[list[Tensor]], Sequence[Tensor]] | None = None
    upstream_prefix: str = ''
    prefix: str = ''

    def rename(self, key: str) -> str | None:
        """Our name of an upstream key of this module."""
        name = self.key_map.rename(self.upstream_prefix + key)
        if name is None:
            return None
        if not name.startswith(self.prefix):
            raise ValueError(f'{key!r} maps to {name!r}, outside of {self.prefix!r}')
        return name[len(self.prefix) :]

    def convert(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """Upstream weights of this module under our keys."""
        whole = {self.upstream_prefix + key: v for key, v in state_dict.items()}
        converted = self.key_map.convert(whole)
        return {key[len(self.prefix) :]: value for key, value in converted.items()}


PORTS: dict[str, Callable[[Fixture], Port]] = {}


def register_port(*upstream_classes: str) -> Callable:
    """Register a function ``fixture -> Port`` for upstream class names.

    Where two upstreams use a name, ``'end/of/the/path.py:Name'`` tells which is meant.
    """

    def register(builder: Callable[[Fixture], Port]) -> Callable[[Fixture], Port]:
        for name in upstream_classes:
            if name in PORTS:
                raise KeyError(f'two ports for the upstream class {name!r}')
            PORTS[name] = builder
        return builder

    return register


def find_port(fixture: Fixture) -> Callable[[Fixture], Port] | None:
    """The port of an upstream class; one that names the file goes first."""
    for name, builder in PORTS.items():
        path, _, cls = name.rpartition(':')
        is_file = path and fixture.upstream_path.endswith(path)
        if is_file and cls == fixture.upstream_class:
            return builder
    return PORTS.get(fixture.upstream_class)


def build_port(fixture: Fixture) -> Port:
    """Build the port that a fixture's ``source`` asks for.

    Raises:
        ValueError: If no port covers the upstream class.
    """
    builder = find_port(fixture)
    if builder is None:
        raise ValueError(
            f'unsupported: no port for upstream class {fixture.upstream_class!r} '
            f'({fixture.source["repo"]})'
        )
    port = builder(fixture)
    port.module.double()
    return port
