"""The rows of a stage: the training rows, or the worst ones for the present predictor."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..learners.batches import LONGEST_EPOCH, Batch, batches_of, repeated
from ..learners.net import NetLearner
from ..robust._answers import checked_number, checked_worst_case
from ..robust.base import AmbiguitySet
from ..rows import Rows
from .objective import Objective
from .options import auto_batch_size
from .predictor_regret import PredictorRegret

_SHORTEST_EPOCH = 1024  # least number of rows drawn for an epoch


class Watched:
    """Rows on which the regret of a learner is watched, and the name of its record."""

    def __init__(self, rows: Rows, objective: Objective, name: str) -> None:
        self.rows, self.objective, self.name = rows, objective, name
        self._repeated: Rows | None = None

    def regret(self, learner: NetLearner) -> float:
        """Return the exact weighted mean regret."""
        losses = self.objective.regret(learner.predict_members(self.rows), self.rows)
        return float(np.average(losses, weights=self._weight))

    def regret_by_member(self, learner: NetLearner) -> np.ndarray:
        """Return the mean regret (K,) of the decisions of each member of an ensemble."""
        y_hat = learner.predict_members(self.rows)
        losses = self.objective.regret(y_hat.reshape(-1, y_hat.shape[2]), self._for(len(y_hat)))
        return np.average(losses.reshape(len(y_hat), -1), axis=1, weights=self._weight)

    @property
    def _weight(self) -> np.ndarray:
        return self.rows.weight.cpu().numpy()

    def _for(self, n_members: int) -> Rows:
        if self._repeated is None:
            self._repeated = repeated(self.rows, n_members)
        return self._repeated


class RowSource(ABC):
    """The mini-batches of an epoch, and the numbers that describe it.

    Attributes
    ----------
    monitored : str
        Name of the number that determines when to stop.
    """

    monitored: str

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows, as callbacks ask it of a data set."""

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the mini-batches of an epoch."""

    @abstractmethod
    def after_epoch(self) -> dict[str, Any]:
        """Return what is recorded after an epoch."""


class NominalRows(RowSource):
    """The training rows as they are.

    Where `one_pass` is True, each epoch takes all rows. Where `by_member` is True, the regret of
    each member of an ensemble is recorded.
    """

    def __init__(
        self,
        learner: NetLearner,
        rows: Rows,
        watched: Watched,
        generators: Sequence[torch.Generator],
        *,
        one_pass: bool,
        by_member: bool = False,
    ) -> None:
        self.learner, self.watched, self.by_member = learner, watched, by_member
        self.monitored = watched.name
        longest = None if one_pass else LONGEST_EPOCH
        self.batches = batches_of(rows, learner.batch_size(len(rows)), generators, longest)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def after_epoch(self) -> dict[str, Any]:
        """Return the regret on the watched rows; of each member where members stop separately."""
        regret = self.watched.regret_by_member if self.by_member else self.watched.regret
        return {self.monitored: regret(self.learner)}


class WorstCaseRows(RowSource):
    """A mixture of the training rows and the worst rows, which are searched anew in every epoch.

    An epoch has as many rows as an epoch of the training rows, but at least 1,024 and at most
    262,144. From a larger mixture they are drawn by weight.

    Parameters
    ----------
    regret : PredictorRegret
        Regret of the learner in training; the worst case is always that of its present weights.
    rows : Rows
        The training rows, as the learner takes them.
    watched : Watched
    ambiguity_set : AmbiguitySet
        With its nominal rows.
    nominal : Rows
        These rows, as the set has taken them up.
    holds_out : bool
        Whether the watched rows are not those trained on.
    nominal_weight : float
        Share of the real rows in the mixture, in [0, 1).
    batch_size : int or None
        None is a tenth of an epoch, between 32 and 256.
    generators : sequence of torch.Generator
        One for each member, for the order of its batches; the rows of an epoch are drawn by the
        first one.
    """

    monitored = "objective"

    def __init__(
        self,
        regret: PredictorRegret,
        rows: Rows,
        watched: Watched,
        ambiguity_set: AmbiguitySet,
        *,
        nominal: Rows,
        holds_out: bool,
        nominal_weight: float,
        batch_size: int | None,
        generators: Sequence[torch.Generator],
    ) -> None:
        self.row_loss, self.rows, self.watched = regret, rows, watched
        self.ambiguity_set, self.holds_out = ambiguity_set, holds_out
        self.nominal = nominal
        self.nominal_weight = nominal_weight
        self.batch_size = batch_size
        self.generators = generators
        self._epoch = 0
        self.numbers = self.refresh()

    def __len__(self) -> int:
        return len(self.worst) + (len(self.rows) if self.nominal_weight > 0 else 0)

    def __iter__(self) -> Iterator[Batch]:
        mixture = self._mixture()
        n_drawn = min(max(len(self.rows), _SHORTEST_EPOCH), LONGEST_EPOCH)
        if len(mixture) > n_drawn:
            # A pool is large so that it holds rare rows; an epoch need not use all of it. Rows
            # drawn by weight count equally, and a single heavy row does not dominate a batch.
            # They are drawn on the CPU, so that they are the same on every device.
            drawn = torch.multinomial(
                mixture.weight.cpu(), n_drawn, replacement=True, generator=self.generators[0]
            )
            mixture = mixture.take(drawn.to(mixture.weight.device))
            mixture = mixture.replace(weight=torch.ones_like(mixture.weight))
        yield from batches_of(
            mixture, self.batch_size or auto_batch_size(len(mixture)), self.generators
        )

    def after_epoch(self) -> dict[str, Any]:
        """Return what is recorded, after a new search where one is due."""
        self._epoch += 1
        if self._epoch % self.ambiguity_set.refresh_every == 0:
            return self.refresh()
        return self._measure(self.row_loss(self.worst))

    def refresh(self) -> dict[str, float]:
        """Search for the worst case of the present weights and return what is recorded."""
        self.row_loss.weights_changed()
        found = self.ambiguity_set.worst_case(self.row_loss)
        name = type(self.ambiguity_set).__name__
        self.worst, self.divergence = checked_worst_case(found, name, self.nominal)
        # A search that weights rows has just computed their regret.
        return self._measure(self.row_loss.again(self.worst))

    def _measure(self, losses: np.ndarray) -> dict[str, float]:
        owner = type(self.ambiguity_set).__name__
        worst_regret = checked_number(
            self.ambiguity_set.worst_regret(self.worst, losses),
            f"What {owner}.worst_regret returns",
        )
        name = self.watched.name
        numbers = {
            name: self.watched.regret(self.row_loss.learner),
            "worst_regret": worst_regret,
            "divergence": self.divergence,
        }
        watched = worst_regret
        if self.holds_out:
            held_out = self.ambiguity_set.held_out_regret(self.row_loss)
            if held_out is None:  # use held-out rows, not training rows, if there are any
                watched = numbers[name]
            else:
                held_out = checked_number(held_out, f"What {owner}.held_out_regret returns")
                watched = numbers["valid_worst_regret"] = held_out
        share = self.nominal_weight
        numbers["objective"] = share * numbers[name] + (1 - share) * watched
        self.numbers = numbers  # all of them, or, after an interruption, those before
        return numbers

    def _mixture(self) -> Rows:
        worst = self.row_loss.known(self.worst)
        weight = (1 - self.nominal_weight) * torch.as_tensor(
            self.worst.weight, dtype=torch.float64, device=worst.weight.device
        )
        # A row of weight 0 would take a place in a batch without an effect.
        parts = [worst.replace(weight=weight).take(weight > 0)]
        if self.nominal_weight > 0:
            share = self.nominal_weight * self.rows.weight / self.rows.weight.sum()
            parts.append(self.rows.replace(weight=share))
        mixture = Rows.concatenated(parts)
        return mixture.replace(weight=mixture.weight / mixture.weight.mean())
