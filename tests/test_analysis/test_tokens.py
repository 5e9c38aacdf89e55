"""Receptive fields of layers on tokens are those of the same layers on maps."""

import numpy as np
import pytest
import torch
from torch import nn

from snndense.analysis import TokenLayout, st_erf
from snndense.analysis.tokens import grid_of_image


class Tokens(nn.Module):
    """Tokens at stride 2, with class tokens in front."""

    def __init__(self, class_tokens: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 2, stride=2)
        self.first, self.last, self.pair = nn.Identity(), nn.Identity(), Pair()
        self.class_tokens = class_tokens

    def forward(self, x):
        x = self.conv(x)
        size = tuple(x.shape[-2:])
        x = self.first(x.flatten(2)).mT  # (N, C, L) -> (N, L, C)
        x = self.last(torch.cat((x[:, : self.class_tokens], x), 1))
        return self.pair(x, size)


class Pair(nn.Module):
    """Gets and gives its grid beside its tokens, as layers of Swin do."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x, size):
        return self.block(x, hw_shape=size), size


class Block(nn.Module):
    def forward(self, x, hw_shape):
        return x * 1


@pytest.mark.parametrize('class_tokens', (0, 1))
def test_tokens(class_tokens):
    torch.manual_seed(0)
    image = torch.randn(2, 3, 8, 12)
    net = Tokens(class_tokens)
    expected = st_erf(net, 'conv', image)
    assert expected.per_layer['conv'].tokens is None
    for grid, source in (((4, 6), 'given'), (None, 'size of the image / stride')):
        layout = TokenLayout(grid, class_tokens=class_tokens)
        found = st_erf(net, ('last', 'conv'), image, tokens=layout)  # and maps
        assert found.per_layer['last'].tokens == source
        assert found.per_layer['last'].grid == (4, 6)
        for erf in found.per_layer.values():
            np.testing.assert_allclose(erf.map, expected.map, rtol=1e-5)
    first = st_erf(net, 'first', image, tokens=TokenLayout(channels_last=False))
    np.testing.assert_allclose(first.map, expected.map, rtol=1e-5)
    with pytest.raises(ValueError, match="layer 'last': of tokens .* no grid of"):
        st_erf(net, 'last', image, tokens=TokenLayout((4, 5)))
    with pytest.raises(ValueError, match='24 fill no image of 8 x 8 at any one'):
        wide = net.conv(image).flatten(2).mT  # tokens that do not belong to the image
        st_erf(Given(wide), 'last', image[..., :8], tokens=TokenLayout())
    with pytest.raises(ValueError, match='order of axes and the number of class'):
        st_erf(net, 'last', image)


class Given(nn.Module):
    """Whatever the image, the same tensor."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output, self.last = output, nn.Identity()

    def forward(self, x):
        return self.last(self.output + x.mean())


def test_tokens_tell_their_grid():
    torch.manual_seed(0)
    image = torch.randn(2, 3, 8, 12)
    expected = st_erf(net := Tokens(), 'conv', image).map
    found = st_erf(net, ('pair', 'pair.block'), image)
    for erf in found.per_layer.values():
        assert erf.tokens == 'told by the layer' and erf.grid == (4, 6)
        np.testing.assert_allclose(erf.map, expected, rtol=1e-5)
    (erf,) = st_erf(net, 'pair', image, signal='input').per_layer.values()
    np.testing.assert_allclose(erf.map, expected, rtol=1e-5)
    with pytest.raises(ValueError, match='order of axes'):  # 25 tokens are not 4 x 6
        st_erf(Tokens(class_tokens=1), 'pair', image)
    given = TokenLayout(class_tokens=1)
    assert st_erf(Tokens(class_tokens=1), 'pair', image, tokens=given).map.any()


def test_tokens_over_time():
    torch.manual_seed(0)
    image = torch.randn(2, 3, 8, 12)
    tokens = torch.randn(3, 2, 24, 4)  # (T, N, L, C)
    for output in (tokens, tokens.flatten(0, 1), tokens[0]):
        found = st_erf(Given(output), 'last', image, tokens=TokenLayout(), time_steps=3)
        assert found.per_layer['last'].grid == (4, 6)


@pytest.mark.parametrize('fields', (dict(class_tokens=-1), dict(grid=(0, 4))))
def test_impossible_layouts(fields):
    with pytest.raises(ValueError, match='rows, columns and a number of class tokens'):
        TokenLayout(**fields)


def test_windows_have_no_place():
    windows = Given(torch.randn(18, 49, 24))
    for layout in (None, TokenLayout()):
        with pytest.raises(ValueError, match='Windows .* 9 of each .* a layer around'):
            st_erf(windows, 'last', torch.randn(2, 3, 8, 12), tokens=layout)


def test_grid_of_image():
    for count, size, grid in (
        (64, (64, 256), (4, 16)),  # not 8 x 8
        (54, (65, 97), None),  # at stride 8: 9 x 13
        (117, (65, 97), (9, 13)),
        (256, (224, 224), (16, 16)),  # stride 14
        (49, (64, 64), None),  # a window
        (1, (64, 96), (1, 1)),
    ):
        assert grid_of_image(count, size) == grid
