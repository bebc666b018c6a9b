import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from canon.study.statistics import compare, overall

INF, NAN = math.inf, math.nan


@given(
    pairs=st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=12),
)
def test_mean_and_interval_are_those_of_scipys_paired_t_test(pairs):
    one, other = np.array(pairs).T
    if np.std(one - other) < 1e-6:
        return
    comparison = compare(one - other)
    low, high = stats.ttest_rel(one, other).confidence_interval(0.95)
    np.testing.assert_allclose(comparison.interval, (low, high), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(comparison.mean, (one - other).mean())


@pytest.mark.parametrize(
    ("differences", "threshold", "verdict"),
    [
        ([0.6, 0.7, 0.65], 0.0, "reproduced"),
        ([-0.6, -0.7, -0.65], 0.0, "contradicted"),
        ([0.6, -0.7, 0.65], 0.0, "underpowered"),
        ([0.6], 0.0, "underpowered"),
        ([], 0.0, "underpowered"),
        ([0.0, 0.0, 0.0], 0.0, "underpowered"),
        ([0.0, 0.0, 0.0], -0.01, "reproduced"),
        ([-0.02, -0.021, -0.02], -0.01, "contradicted"),
        ([INF] * 5, 0.0, "underpowered"),
        ([INF] * 6, 0.0, "reproduced"),
        ([-INF] * 6, 0.0, "contradicted"),
        ([INF, 0.3, 0.2, 0.1, 0.2, 0.3], 0.0, "reproduced"),
        ([INF, -0.3, 0.2, 0.1, 0.2, 0.3], 0.0, "underpowered"),
        ([NAN] * 6, 0.0, "underpowered"),
    ],
)
def test_a_verdict_needs_the_whole_interval_or_enough_signs(differences, threshold, verdict):
    assert compare(differences, threshold).verdict == verdict


def test_a_true_difference_is_reproduced_and_none_is_seldom_mistaken_for_one():
    random = np.random.default_rng(0)
    noise = random.normal(size=(2000, 5))
    false = np.mean([compare(row).verdict != "underpowered" for row in noise])
    true = np.mean([compare(row + 5).verdict == "reproduced" for row in noise])
    assert 0.03 < false < 0.07  # 5% by construction of a 95% interval
    assert true > 0.99


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "underpowered"], "underpowered"),
        (["reproduced", "contradicted", "underpowered"], "contradicted"),
        ([], "underpowered"),
    ],
)
def test_a_study_is_as_good_as_its_weakest_claim(verdicts, expected):
    assert overall(verdicts) == expected
