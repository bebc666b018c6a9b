import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.convolution import Conv, ConvTranspose
from canon.layers.pooling import AvgPool, MaxPool
from canon.layers.windows import explicit_padding, fits, output_size, per_axis, times

letters = given(
    W=st.integers(1, 40), F=st.integers(1, 7), S=st.integers(1, 5), P=st.integers(0, 4), D=st.integers(1, 3)
)


@letters
@settings(max_examples=200)
def test_output_size_is_that_of_pytorchs_convolution(torch, W, F, S, P, D):  # noqa: N803
    assume(D * (F - 1) + 1 <= W + 2 * P)
    outputs = torch.nn.functional.conv1d(torch.zeros(1, 1, W), torch.zeros(1, 1, F), stride=S, padding=P, dilation=D)
    assert output_size(W, F, S, P, D) == outputs.shape[-1]


@letters
@settings(max_examples=30)
def test_output_size_is_that_of_our_convolution(W, F, S, P, D):  # noqa: N803
    assume(fits(W + 2 * P, F, D))
    layer = Conv(1, (F,), strides=S, padding=P, kernel_dilation=D)
    outputs = jax.eval_shape(lambda key: layer.init_with_output(key, jnp.zeros((1, W, 1)))[0], jax.random.key(0))
    assert outputs.shape == (1, output_size(W, F, S, P, D), 1)


@letters
@settings(max_examples=200)
def test_a_window_fits_where_pytorch_says_so_and_output_size_refuses_the_others(torch, W, F, S, P, D):  # noqa: N803
    try:
        torch.nn.functional.conv1d(torch.zeros(1, 1, W), torch.zeros(1, 1, F), stride=S, padding=P, dilation=D)
    except RuntimeError:
        with pytest.raises(UserError, match=f"a window of {F} with dilation {D} does not fit into {W} with {P} zeros"):
            output_size(W, F, S, P, D)
    else:
        assert output_size(W, F, S, P, D) >= 1


@given(W=st.integers(1, 40), F=st.integers(1, 7), D=st.integers(1, 3))
def test_half_padding_keeps_the_size_for_odd_windows_and_full_padding_gives_every_overlap(W, F, D):  # noqa: N803
    ((half, _),), ((full, _),) = explicit_padding("half", (F,), (D,)), explicit_padding("full", (F,), (D,))
    reach = D * (F - 1)
    assert output_size(W, F, P=full, D=D) == W + reach
    assert output_size(W, F, P=half, D=D) == W + reach % 2


@pytest.mark.parametrize(
    "letters",
    [{"W": 0}, {"F": 0}, {"S": 0}, {"D": 0}, {"P": -1}, {"W": -3}],
    ids=lambda letters: next(f"{name}={value}" for name, value in letters.items()),
)
def test_output_size_refuses_numbers_that_mean_nothing(letters):
    name, value = next(iter(letters.items()))
    with pytest.raises(UserError, match=f"at least 1 and P at least 0, not .*{name}={value}"):
        output_size(**{"W": 5, "F": 3} | letters)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (1, ((1, 1), (1, 1))),
        ((0, 2), ((0, 0), (2, 2))),
        ([(0, 1), 2], ((0, 1), (2, 2))),
        ("half", ((1, 1), (2, 2))),
        ("Full", ((2, 2), (4, 4))),
        ("same", "SAME"),
        ("VALID", "VALID"),
    ],
)
def test_every_spelling_of_a_padding_becomes_pairs_or_a_name_in_capitals(padding, expected):
    explicit = explicit_padding(padding, window=(3, 5), dilation=(1, 1))
    assert explicit == expected
    assert explicit_padding(explicit, window=(3, 5), dilation=(1, 1)) == expected  # Flax makes a copy of a layer so


def test_a_padding_with_another_number_of_axes_is_refused():
    with pytest.raises(UserError, match=r"padding has 3 axes, and the window 2: \(1, 1, 1\)"):
        explicit_padding((1, 1, 1), window=(3, 3), dilation=(1, 1))


@pytest.mark.parametrize("padding", [((1, 2, 3), 1), (1.5, 1), ((1, None), 1)])
def test_a_padding_that_is_neither_numbers_nor_pairs_is_refused(padding):
    with pytest.raises(UserError, match="padding must be a number, or for each axis one or"):
        explicit_padding(padding, window=(3, 3), dilation=(1, 1))


def test_one_number_stands_for_all_axes_and_none_for_ones():
    assert per_axis("strides", 2, 3) == (2, 2, 2)
    assert per_axis("strides", np.int64(2), 3) == (2, 2, 2)
    assert per_axis("strides", [1, np.int32(2)], 2) == (1, 2)
    assert per_axis("strides", None, 2) == (1, 1)
    assert per_axis("kernel_size", (3, 5, 7)) == (3, 5, 7)
    assert per_axis("kernel_size", 3) == (3,)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: Conv(1, (3, 0)), r"kernel_size must be integers of at least 1, not \(3, 0\)"),
        (lambda: Conv(1, ()), "kernel_size has 0 axes"),
        (lambda: Conv(1, (3, 3), strides=0), "strides must be integers of at least 1, not 0"),
        (lambda: Conv(1, (3, 3), strides=(1, 2, 1)), r"strides has 3 axes, where there are 2: \(1, 2, 1\)"),
        (lambda: Conv(1, (3, 3), kernel_dilation=1.5), "kernel_dilation must be integers"),
        (lambda: MaxPool((2, 2, 2)), r"window has 3 axes, where there are 2: \(2, 2, 2\)"),
        (lambda: MaxPool(2, 0), "strides must be integers of at least 1, not 0"),
        (lambda: AvgPool(2, padding="REFLECT"), "a pool has no padding 'REFLECT'"),
        (lambda: ConvTranspose(1, (3, 3), strides=(2, 0)), "strides must be integers of at least 1"),
        (lambda: ConvTranspose(1, (3, 3), output_padding=-1), "output_padding must be integers of at least 0, not -1"),
    ],
)
def test_sizes_that_mean_nothing_are_refused_by_the_name_of_the_argument(layer, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(layer().init, jax.random.key(0), jnp.zeros((1, 8, 8, 2)))


def test_a_size_reads_as_people_write_it():
    assert times((3, 5)) == "3×5"


def test_a_padding_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="no padding is called 'smae' .*SAME.*HALF"):
        Conv(1, (3,), padding="smae")


def test_the_zeros_between_dilated_inputs_count_for_the_window():
    layer = Conv(1, (5,), padding=0, input_dilation=2)
    outputs = jax.eval_shape(lambda key: layer.init_with_output(key, jnp.zeros((1, 3, 1)))[0], jax.random.key(0))
    assert outputs.shape == (1, 1, 1)
