"""The robust half of a fit: real rows mixed with the worst ones for the present predictor."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from skorch import NeuralNet

from ..nets.rows import Batches
from ..robust.base import AmbiguitySet
from ..rows import Rows
from ._predictor_regret import PredictorRegret

if TYPE_CHECKING:
    from ._net_fit import NetFit


_SHORTEST_EPOCH = 1024  # rows drawn for an epoch, where the training rows are fewer


class WorstCaseBatches:
    """Mini-batches of a mixture whose worst rows are searched anew for every epoch.

    An epoch sees as many rows as one on the training rows alone does, and a thousand at least.
    Of a larger mixture they are drawn by weight.

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
        None is a tenth of an epoch, between 32 and 256.
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
        self.row_loss = PredictorRegret(fit, net)
        self._epoch = 0
        self.numbers = self.refresh()

    def __len__(self) -> int:
        """Return the number of rows, as callbacks ask it of a data set."""
        return len(self.worst) + (len(self.fit.rows) if self.nominal_weight > 0 else 0)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        mixture = self._mixture()
        n_drawn = max(len(self.fit.rows), _SHORTEST_EPOCH)
        if len(mixture) > n_drawn:
            # A pool is large so that it holds rare rows; an epoch need not see all of it. Rows
            # drawn by weight count alike, and a rare heavy row does not rule a batch.
            # On the CPU, where the generator is: the same rows on every device.
            drawn = torch.multinomial(
                mixture.weight.cpu(), n_drawn, replacement=True, generator=self.generator
            )
            mixture = mixture.take(drawn.to(mixture.weight.device))
            mixture = mixture.replace(weight=torch.ones_like(mixture.weight))
        size = self.batch_size or int(np.clip(len(mixture) // 10, 32, 256))
        yield from Batches(mixture, size, self.generator)

    def after_epoch(self) -> dict[str, float]:
        """Return what training reports, after a new search where one is due."""
        self._epoch += 1
        if self._epoch % self.ambiguity_set.refresh_every == 0:
            return self.refresh()
        return self._measure(self.row_loss(self.worst))

    def refresh(self) -> dict[str, float]:
        """Search for the worst case of the present weights and return what training reports."""
        self.row_loss.weights_moved()
        self.worst, self.divergence = self.ambiguity_set.worst_case(self.row_loss)
        # A search that weights rows has just asked for their regret.
        return self._measure(self.row_loss.again(self.worst))

    def _measure(self, losses: np.ndarray) -> dict[str, float]:
        worst_regret = float(self.worst.weight @ losses)
        numbers = {
            self.fit.monitored: self.fit.regret(self.net, self.fit.watched),
            "worst_regret": worst_regret,
            "divergence": self.divergence,
        }
        watched = worst_regret
        if self.fit.valid is not None:
            held_out = self.ambiguity_set.held_out_regret(self.row_loss)
            if held_out is None:  # never the rows that are trained on, where others are held out
                watched = numbers[self.fit.monitored]
            else:
                watched = numbers["valid_worst_regret"] = held_out
        share = self.nominal_weight
        numbers["objective"] = share * numbers[self.fit.monitored] + (1 - share) * watched
        self.numbers = numbers  # all of them, or, after an interruption, those before
        return numbers

    def _mixture(self) -> Rows:
        weight = (1 - self.nominal_weight) * self.fit.exactly(self.worst.weight)
        # A row without weight would take a place in a batch and add nothing to it.
        parts = [self.row_loss.known(self.worst).replace(weight=weight).take(weight > 0)]
        if self.nominal_weight > 0:
            real = self.fit.rows
            share = self.nominal_weight * real.weight / real.weight.sum()
            parts.append(real.replace(weight=share))
        mixture = Rows.concatenated(parts)
        return mixture.replace(weight=mixture.weight / mixture.weight.mean())
