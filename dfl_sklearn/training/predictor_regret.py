"""The regret of the predictor in training, in the form that ambiguity sets use."""

import numpy as np
import torch

from .._utils.recent import Recent, same
from ..learners.construct import slopes_in_eval
from ..learners.net import NetLearner
from ..rows import Rows
from .objective import Objective


class PredictorRegret:
    """The regret of a learner's decisions on any rows, with its present weights.

    Known rows are recognised by their arrays, and not solved for again.
    """

    def __init__(self, learner: NetLearner, objective: Objective, learning_rate: float) -> None:
        self.learner, self.objective, self.learning_rate = learner, objective, learning_rate
        self._tensors = Recent()
        self.weights_changed()

    def weights_changed(self) -> None:
        """Forget the last regret, because the predictor has changed."""
        self._last_rows: tuple[np.ndarray, ...] = ()

    def __call__(self, rows: Rows) -> np.ndarray:
        """Return the exact regret (n,).

        Raises
        ------
        FloatingPointError
            If it is not finite somewhere; the message names the problem and the row.
        """
        try:
            known = self.known(rows)
            self._last = self.objective.regret(self.learner.predict_members(known), known)
        except Exception as error:
            error.add_note(
                "This occurred in the search for the worst case: the row may be a generated one. "
                "The problem's project_parameters can keep such rows in its domain."
            )
            raise
        self._last_rows = rows.arrays
        bad = np.flatnonzero(~np.isfinite(self._last))
        if len(bad):
            raise FloatingPointError(self._explain(rows, int(bad[0])))
        return self._last

    def again(self, rows: Rows) -> np.ndarray:
        """Return the regret, from the cache if it was computed for these rows last."""
        return self._last if same(self._last_rows, rows.arrays) else self(rows)

    def gradient(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the slope of each row's regret in its features (n, p) and parameters (n, d)."""
        known, net = self.known(rows), self.learner.net
        known = known.replace(
            X=known.X.clone().requires_grad_(), y=known.y.clone().requires_grad_()
        )
        net.module_.eval()
        with torch.enable_grad(), slopes_in_eval(self.learner.units.device):
            y_hat = self.learner.predict_with_slopes(known.X)
            self.objective.relaxed_regret(y_hat, known).sum().backward()
        in_features, in_y = (
            np.zeros(part.shape) if part.grad is None else part.grad.cpu().numpy()
            for part in (known.X, known.y)
        )
        net.module_.zero_grad(set_to_none=True)
        return self.learner.units.slopes_in_features(in_features), in_y

    def known(self, rows: Rows) -> Rows:
        """Return rows as the learner takes them, with their best decisions."""
        return self._tensors.get(
            rows.arrays, lambda: self.learner.units.rows(self.objective.solved(rows))
        )

    def _explain(self, rows: Rows, i: int) -> str:
        """Return whether the net or the problem made the regret of row `i` NaN or infinite."""
        predicted = np.isfinite(self.learner.predict(self.known(rows))).all(axis=1)
        if not predicted.any():
            return (
                "The predictions became NaN in robust training: the weights of the net have "
                f"diverged. Lower learning_rate_init={self.learning_rate}."
            )
        what = (
            f"{type(self.objective.problem).__name__} gave a regret of {self._last[i]}"
            if predicted[i]
            else "The net gave no finite prediction"
        )
        return (
            f"{what} in the search for the worst case, for a row with X = {rows.X[i].tolist()} "
            f"and y = {rows.y[i].tolist()}. Such a row may be generated; the problem's "
            "project_parameters can keep its y in the domain."
        )
