"""Tables, lists and numbers as text."""

import pytest

from snndense.utils.tables import (
    bullets,
    format_fields,
    format_mean_std,
    format_shape,
    format_table,
    listed,
    markdown_table,
    mean_std,
)

HEADER, ROWS = ('a', 'bb', 'c'), [('long', '1', ''), ('x', '200', 'y')]


def test_table():
    assert format_table(HEADER, ROWS).splitlines() == [
        'a      bb  c',
        'long    1',
        'x     200  y',
    ]
    assert format_table(HEADER, ROWS, right=(), rule=True).splitlines() == [
        'a     bb   c',
        '----  ---  -',
        'long  1',
        'x     200  y',
    ]
    assert format_table(HEADER, []) == 'a  bb  c'
    with pytest.raises(ValueError):
        format_table(HEADER, [('one', 'two')])


def test_markdown_table():
    assert markdown_table(HEADER, ROWS).splitlines() == [
        '| a | bb | c |',
        '| --- | ---: | ---: |',
        '| long | 1 | |',
        '| x | 200 | y |',
    ]
    assert '| --- | ---: | --- |' in markdown_table(HEADER, ROWS, right=(1,))


def test_fields():
    assert format_fields({'a': 'one', 'long': ''}) == 'a     one\nlong'


def test_lists_name_the_first_and_count_the_rest():
    assert listed([1, 2]) == '1, 2'
    assert listed('abcde') == 'a, b, c, d, e'
    assert listed('abcdefg') == 'a, b, c, d, e, and 2 more'
    assert listed(('x', 'y', 'z'), most=1) == 'x, and 2 more'
    assert bullets(['x', 'y'], most=2) == '  - x\n  - y'
    assert bullets(['x', 'y', 'z'], most=2) == '  - x\n  - y\n  - and 1 more'


def test_mean_and_spread():
    assert mean_std([]) == (None, None)
    assert mean_std([0.5]) == (0.5, None)
    assert mean_std([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert format_mean_std(*mean_std([]), 2) == ''
    assert format_mean_std(*mean_std([0.5]), 2) == '0.50'
    assert format_mean_std(*mean_std([1.0, 3.0]), 1) == '2.0 ± 1.4'


def test_shape():
    assert format_shape((3, 224, 224)) == '3 x 224 x 224'
