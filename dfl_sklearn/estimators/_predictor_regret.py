"""The regret of the predictor in training, as ambiguity sets ask for it."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from skorch import NeuralNet

from .._utils.recent import Recent, same
from ..nets.construct import slopes_in_eval
from ..rows import Rows

if TYPE_CHECKING:
    from ._net_fit import NetFit


class PredictorRegret:
    """The regret of the net's decisions on any rows, with its present weights.

    Rows met before are recognised by their arrays, and not solved for again.
    """

    def __init__(self, fit: "NetFit", net: NeuralNet) -> None:
        self.fit, self.net = fit, net
        self._tensors = Recent()
        self.weights_moved()

    def weights_moved(self) -> None:
        """Forget the last regret: the net is another one now."""
        self._last_rows: tuple[np.ndarray, ...] = ()

    def __call__(self, rows: Rows) -> np.ndarray:
        """Return the exact regret (n,).

        Raises
        ------
        FloatingPointError
            If it is not finite somewhere; the message names the problem and the row.
        """
        try:
            self._last = self.fit.row_regret(self.net, self.known(rows))
        except Exception as error:
            error.add_note(
                "This came up in the search for the worst case: the row may be one that no data "
                "hold. The problem's project_parameters can keep such rows in its domain."
            )
            raise
        self._last_rows = rows.arrays
        bad = np.flatnonzero(~np.isfinite(self._last))
        if len(bad):
            raise FloatingPointError(self._explain(rows, int(bad[0])))
        return self._last

    def again(self, rows: Rows) -> np.ndarray:
        """Return the regret, as found before where the rows were the last asked for."""
        return self._last if same(self._last_rows, rows.arrays) else self(rows)

    def gradient(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the slope of each row's regret in its features (n, p) and parameters (n, d)."""
        known = self.known(rows)
        features, y = (part.clone().requires_grad_() for part in (known.X, known.y))
        self.net.module_.eval()
        with torch.enable_grad(), slopes_in_eval(self.fit.device):
            self.fit.relaxed_regret(self.net, features, y, known.optimum).sum().backward()
        slopes = (
            np.zeros(part.shape) if part.grad is None else part.grad.cpu().numpy()
            for part in (features, y)
        )
        in_features, in_y = slopes
        self.net.module_.zero_grad(set_to_none=True)
        return in_features / self.fit.x_scale.scale, in_y

    def known(self, rows: Rows) -> Rows:
        """Return rows as tensors, with their best decisions."""
        return self._tensors.get(rows.arrays, lambda: self.fit.tensors(rows))

    def _explain(self, rows: Rows, i: int) -> str:
        """Say whether the net or the problem made the regret of row `i` NaN or infinite."""
        params, problem = self.fit.params, type(self.fit.problem).__name__
        predicted = np.isfinite(self.fit.predicted(self.net, self.known(rows))).all(axis=1)
        if not predicted.any():
            return (
                "The predictions became NaN in robust training: the weights of the net have "
                f"diverged. Lower learning_rate_init={params.learning_rate_init}."
            )
        what = (
            f"{problem} gave a regret of {self._last[i]}"
            if predicted[i]
            else "The net gave no finite prediction"
        )
        return (
            f"{what} in the search for the worst case, for a row with X = {rows.X[i].tolist()} "
            f"and y = {rows.y[i].tolist()}. Such a row may be generated; the problem's "
            "project_parameters can keep its y in the domain."
        )
