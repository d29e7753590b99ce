"""Sets that weight the training rows warn where hardly any of them count."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import (
    AmbiguitySet,
    ChiSquareBall,
    CVaR,
    GroupDRO,
    JustTrainTwice,
    KLBall,
    TotalVariationBall,
    WassersteinBall,
)

X, Y = make_newsvendor(60, random_state=0)


def is_largest(rows):
    return rows[:, 0] == rows[:, 0].max()


class OneRow(AmbiguitySet):
    def __init__(self, radius=1.0):
        self.radius = radius

    def set_nominal(self, rows, problem, seed, held_out=None):
        super().set_nominal(rows, problem, seed, held_out)
        self.rows_ = rows.as_shares()

    def worst_case(self, row_loss):
        return self.rows_.replace(weight=np.eye(len(self.rows_))[0]), 4.1


def doubts(ambiguity_set, **params):
    """Return what a fit says of the effective sample."""
    options = {"hidden_layer_sizes": (), "max_iter": 4, "random_state": 0}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model = DFLRegressor(
            NewsvendorProblem(4, 1), ambiguity_set=ambiguity_set, **{**options, **params}
        ).fit(X, Y)
    said = [each for each in found if "effective sample" in str(each.message)]
    assert all(each.category is ConvergenceWarning for each in said)
    return model, [str(each.message) for each in said]


@pytest.mark.parametrize(
    ("ambiguity_set", "remedy"),
    [
        (KLBall(50.0), "Lower the radius."),
        (ChiSquareBall(1e6), "Lower the radius."),
        (TotalVariationBall(0.999), "Lower the radius."),
        (CVaR(alpha=0.002), "Raise alpha."),
        (GroupDRO(is_largest, learning_rate=1.0), "The worst group is small"),
        (JustTrainTwice(0.01, factor=1e4), "Raise share, or lower factor."),
        (OneRow(), "Make the set smaller."),
    ],
)
def test_a_worst_case_of_one_row_is_named_once(ambiguity_set, remedy):
    model, said = doubts(ambiguity_set, early_stopping=False)
    (message,) = said
    assert f"The worst case of {ambiguity_set!r} rests on an effective sample of only 1." in message
    assert f"of {len(model.ambiguity_set_.rows_)} rows. {remedy}" in message


def test_of_the_rows_that_are_not_held_out():
    (message,) = doubts(CVaR(alpha=0.002), early_stopping=True, validation_fraction=0.5)[1]
    assert "an effective sample of only 1.0 of 30 rows" in message


@pytest.mark.parametrize(
    "ambiguity_set",
    [
        *(KLBall(), ChiSquareBall(), CVaR(), TotalVariationBall(), JustTrainTwice()),
        *(KLBall(0.5), ChiSquareBall(2.0), CVaR(alpha=0.1), GroupDRO(lambda rows: rows[:, 0] > 0)),
        WassersteinBall(100.0),  # moves rows, all of which count
    ],
)
def test_usual_radii_say_nothing(ambiguity_set):
    assert doubts(ambiguity_set, early_stopping=False)[1] == []
