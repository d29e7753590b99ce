"""The robust half of a fit: real rows mixed with the worst ones for the present predictor."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from skorch import NeuralNet

from .._utils.canonical import CanonicalRows
from .._utils.recent import Recent, same
from ..nets.rows import Batches, TrainingRows
from ..robust.base import AmbiguitySet, WorstCase

if TYPE_CHECKING:
    from ._net_fit import NetFit


class WorstCaseBatches:
    """Mini-batches of a mixture whose worst rows are searched anew for every epoch.

    Parameters
    ----------
    fit : NetFit
    net : NeuralNet
        The net in training; the worst case is always that of its present weights.
    ambiguity_set : AmbiguitySet
        Started.
    nominal_weight : float
        Share of the real rows in the mixture, in [0, 1).
    batch_size : int or None
        None is a tenth of the mixture, between 32 and 256.
    generator : torch.Generator
        The order of the batches is drawn from it.
    """

    def __init__(
        self,
        fit: "NetFit",
        net: NeuralNet,
        ambiguity_set: AmbiguitySet,
        nominal_weight: float,
        batch_size: int | None,
        generator: torch.Generator,
    ) -> None:
        self.fit, self.net, self.ambiguity_set = fit, net, ambiguity_set
        self.nominal_weight = nominal_weight
        self.batch_size = batch_size
        self.generator = generator
        self._tensors = Recent()
        self._measured: tuple[np.ndarray, ...] = ()
        self._epoch = 0
        self.numbers = self.refresh()

    def __len__(self) -> int:
        """Return the number of rows, as callbacks ask it of a data set."""
        return len(self.worst.rows.X) + (len(self.fit.rows) if self.nominal_weight > 0 else 0)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        mixture = self._mixture()
        size = self.batch_size or int(np.clip(len(mixture) // 10, 32, 256))
        yield from Batches(mixture, size, self.generator)

    def after_epoch(self) -> dict[str, float]:
        """Return what training reports, after a new search where one is due."""
        self._epoch += 1
        if self._epoch % self.ambiguity_set.refresh_every == 0:
            return self.refresh()
        return self._measure(self.row_loss(self.worst.rows))

    def refresh(self) -> dict[str, float]:
        """Search for the worst case of the present weights and return what training reports."""
        self.worst: WorstCase = self.ambiguity_set.rows(self.row_loss)
        # A search that weights rows has just asked for their losses; another has not.
        is_known = same(self._measured, (self.worst.rows.X, self.worst.rows.y))
        return self._measure(self._losses if is_known else self.row_loss(self.worst.rows))

    def _measure(self, losses: np.ndarray) -> dict[str, float]:
        worst_regret = float(self.worst.rows.weight @ losses)
        self.numbers = {
            self.fit.monitored: self.fit.regret(self.net, self.fit.watched),
            "worst_regret": worst_regret,
            "divergence": self.worst.divergence,
        }
        watched = worst_regret
        if self.fit.valid is not None:
            held_out = self.ambiguity_set.held_out_regret(self.row_loss)
            if held_out is not None:
                watched = self.numbers["valid_worst_regret"] = held_out
        share = self.nominal_weight
        self.numbers["objective"] = share * self.numbers[self.fit.monitored] + (1 - share) * watched
        return self.numbers

    def row_loss(self, rows: CanonicalRows) -> np.ndarray:
        """Return the exact regret of the present predictor on any rows.

        Raises
        ------
        FloatingPointError
            If it is not finite somewhere; the message names the problem and the row.
        """
        try:
            self._losses = self.fit.row_regret(self.net, self._known(rows))
        except Exception as error:
            error.add_note(
                "This came up in the search for the worst case: the row may be one that no data "
                "hold. The problem's project_parameters can keep such rows in its domain."
            )
            raise
        self._measured = rows.X, rows.y
        bad = np.flatnonzero(~np.isfinite(self._losses))
        if len(bad):
            raise FloatingPointError(self._explain(rows, int(bad[0])))
        return self._losses

    def _explain(self, rows: CanonicalRows, i: int) -> str:
        """Say whether the net or the problem made the regret of row `i` NaN or infinite."""
        params, problem = self.fit.params, type(self.fit.problem).__name__
        predicted = np.isfinite(self.fit.predicted(self.net, self._known(rows))).all(axis=1)
        if not predicted.any():
            return (
                "The predictions became NaN in robust training: the weights of the net have "
                f"diverged. Lower learning_rate_init={params.learning_rate_init}."
            )
        what = (
            f"{problem} gave a regret of {self._losses[i]}"
            if predicted[i]
            else "The net gave no finite prediction"
        )
        return (
            f"{what} in the search for the worst case, for a row with X = {rows.X[i].tolist()} "
            f"and y = {rows.y[i].tolist()}. Such a row may be generated; the problem's "
            "project_parameters can keep its y in the domain."
        )

    def _known(self, rows: CanonicalRows) -> TrainingRows:
        """Return rows as tensors; those met before are recognised and not solved for again."""
        return self._tensors.get((rows.X, rows.y), lambda: self.fit.tensors(rows))

    def _mixture(self) -> TrainingRows:
        worst = self._known(self.worst.rows)
        weight = (1 - self.nominal_weight) * self.fit.tensor(self.worst.rows.weight)
        # A row without weight would take a place in a batch and add nothing to it.
        kept = weight > 0
        parts = [TrainingRows(worst.X, worst.y, weight, worst.best_decision, worst.best_cost)]
        parts[0] = parts[0].subset(kept)
        if self.nominal_weight > 0:
            real = self.fit.rows
            share = self.nominal_weight * real.weight / real.weight.sum()
            parts.append(TrainingRows(real.X, real.y, share, real.best_decision, real.best_cost))
        mixture = TrainingRows.concatenated(parts)
        mixture.weight = mixture.weight / mixture.weight.mean()
        return mixture
