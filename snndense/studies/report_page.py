"""A report as one HTML file that needs nothing beside it."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from snndense.utils.files import complete_file

PIXELS = 96  # of a screen, to an inch
PHONE = 315  # pixels that a figure has on a small phone
TEMPLATE = Path(__file__).with_name('report.html')


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page."""

    value: str
    label: str


@dataclass(frozen=True)
class Table:
    """A table of a section.

    Args:
        rows (sequence): Cells, row by row.
        header (sequence[str]): Defaults to ().
        title (str): Defaults to ``''``.
        folded (bool): Whether it opens on a click; then it needs a title.
        is_text (bool): Whether cells are text that wraps. Defaults to False.
    """

    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()
    title: str = ''
    folded: bool = False
    is_text: bool = False


@dataclass(frozen=True)
class Bar:
    """A line of a bar chart.

    Args:
        label (str): What it is about.
        value (str): The value, with its unit.
        parts (sequence[float]): Lengths of its parts, each a share of the full width;
            the first is blue, the second orange.
    """

    label: str
    value: str
    parts: Sequence[float]


@dataclass(frozen=True)
class Bars:
    """A bar chart that reflows with the page.

    Args:
        title (str): What it shows.
        bars (sequence[Bar]): From top to bottom.
        legend (sequence[str]): Names of the parts, if there are several.
    """

    title: str
    bars: Sequence[Bar]
    legend: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A figure inside the page.

    Args:
        uri (str): Data address.
        caption (str): What it shows; also read aloud.
        width (int): Pixels of the screen that it has; on a narrower one it is scrolled.
    """

    uri: str
    caption: str
    width: int

    @classmethod
    def of(cls, figure: Figure, caption: str) -> 'Picture':
        """A matplotlib figure, as vectors that are not shrunk."""
        buffer = BytesIO()
        with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'snndense'}):
            figure.savefig(buffer, format='svg', metadata={'Date': None})
        width = round(figure.get_figwidth() * PIXELS)
        return cls(_data_uri('image/svg+xml', buffer), caption, width)


@dataclass(frozen=True)
class Photos:
    """Photographs that share a caption: a row that a phone scrolls, else in rows.

    Args:
        uris (sequence[str]): Data addresses.
        caption (str): What they show; also read aloud.
    """

    uris: Sequence[str]
    caption: str

    @classmethod
    def of(cls, pictures: Iterable[np.ndarray], caption: str) -> 'Photos':
        """RGB pictures ``(H, W, 3)``."""
        uris = []
        for pixels in pictures:
            buffer = BytesIO()
            Image.fromarray(pixels).save(buffer, format='jpeg', quality=85)
            uris.append(_data_uri('image/jpeg', buffer))
        return cls(uris, caption)


def _data_uri(kind: str, buffer: BytesIO) -> str:
    return f'data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}'


@dataclass
class Section:
    """A part of the page: what it has, in the order of the fields."""

    name: str
    title: str
    text: list[str] = field(default_factory=list)
    charts: list[Bars] = field(default_factory=list)
    photos: list[Photos] = field(default_factory=list)
    figures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    code: str = ''
    code_title: str = ''


@dataclass
class Page:
    """A report."""

    title: str
    subtitle: str
    tiles: list[Tile]
    sections: list[Section]
    footer: str

    def html(self) -> str:
        """The page.

        Raises:
            ImportError: If jinja2, which torch depends on, is missing.
        """
        from jinja2 import Environment, StrictUndefined

        environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.from_string(TEMPLATE.read_text('utf-8')).render(vars(self))

    def write(self, path: str | Path) -> None:
        """Write the page; the file is complete or absent."""
        with complete_file(path) as temporary:
            temporary.write_text(self.html(), encoding='utf-8')
