"""A fit in stages: first on the rows as they are, then for the worst case in an ambiguity set."""

import math
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Memory
from skorch import NeuralNet

from .._utils.interrupts import interrupts_are_passed_on
from .._utils.once import compute_once
from .._utils.progress import part, say
from .._utils.row_numbers import counted_among
from .._utils.seeds import named_seed
from .._utils.threads import pinned_threads
from ..learners.construct import forked_generator, member_seeds, uses_global_generator
from ..learners.given_net import has_listeners
from ..learners.net import NetLearner, NetUnits
from ..learners.trainer import Training
from ..robust.base import AmbiguitySet
from ..rows import Rows
from ._few_rows import doubt_of_few_rows
from .objective import Objective
from .options import TrainingOptions, auto_batch_size
from .predictor_regret import PredictorRegret
from .record import unmoved_nets
from .sources import NominalRows, Watched, WorstCaseRows
from .stage import run_stage
from .warm_start import LastFit, take_up

HELD_OUT = "those of X_val and y_val"
_N_REDUCTIONS = 3  # times that an adaptive learning rate is divided
_N_ROBUST_REDUCTIONS = 2  # the same for robust training, which goes on from a trained net
_ROBUST_PATIENCE = 0.4  # patience of robust training, as a share of n_iter_no_change
_N_DRAWS = 4  # most draws of the initial weights of a net, where training does not change them


class FitResult(NamedTuple):
    """A trained net, the training of each stage, and the final worst case."""

    net: NeuralNet
    trainings: list[Training]
    worst_case: dict[str, float] | None


class _InterruptedError(Exception):
    """Training on the real rows was interrupted: its weights are used but not cached."""

    def __init__(self, state: dict[str, torch.Tensor], training: Training) -> None:
        super().__init__()
        self.state, self.training = state, training


class StagedFit:
    """A predictor, an objective, and the rows on which to train and to watch the regret.

    Parameters
    ----------
    predictor : callable, NetFactory or NeuralNet
    objective : Objective
    train, valid : Rows
        Canonical rows. `valid` may be None; the regret is then watched on the training rows.
    units : NetUnits
    options : TrainingOptions
    seed : int
    valid_is_given : bool, default=False
        Whether the user has given `valid`. Errors then count its rows separately, as those of
        X_val and y_val.

    Attributes
    ----------
    remarks : list of str
        Warnings for the user, to be issued after the fit.
    """

    def __init__(
        self,
        predictor: Any,
        objective: Objective,
        train: Rows,
        valid: Rows | None,
        units: NetUnits,
        options: TrainingOptions,
        seed: int,
        *,
        valid_is_given: bool = False,
    ) -> None:
        self.predictor, self.objective, self.units = predictor, objective, units
        self.options, self.seed = options, seed
        solved = objective.solved(train).replace(number=None)
        self.train = train.replace(number=None)
        self.valid = None if valid is None else valid.replace(number=None)
        self.rows = units.rows(solved)
        name, watched = "train_regret", self.rows
        if valid is not None:
            with counted_among(HELD_OUT) if valid_is_given else nullcontext():
                solved_valid = objective.solved(valid).replace(number=None)
            name, watched = "valid_regret", units.rows(solved_valid)
        self.watched = Watched(watched, objective, name)
        objective.measure(solved, seed)
        _ = objective.row_loss  # bound here, before any random numbers are drawn
        self.remarks: list[str] = []

    def run(
        self,
        start: LastFit | None,
        ambiguity_set: AmbiguitySet | None = None,
        memory: Memory | None = None,
        *,
        one_pass: bool = False,
        is_over: bool = False,
    ) -> FitResult:
        """Train and return the net fit for prediction.

        Parameters
        ----------
        start : LastFit or None
            Weights to go on from.
        ambiguity_set : AmbiguitySet or None
            Where given, the predictor trained on the real rows is then trained for the worst
            distribution in the set.
        memory : joblib.Memory or None
            Where to cache the predictor trained on the real rows.
        one_pass : bool, default=False
            Whether to train for one epoch, and to keep its weights even if they are worse.
        is_over : bool, default=False
            Whether the user has already interrupted the fit: the initial net is returned.

        Returns
        -------
        FitResult
            The trained net. If the user interrupts, it has the best weights so far.

        Raises
        ------
        ValueError
            If decisions may have no cost, or if an ambiguity set needs gradients that the problem
            does not have.
        FloatingPointError
            If the loss becomes NaN or infinite.
        KeyboardInterrupt
            If the user interrupts before there are weights to keep.
        """
        if ambiguity_set is not None and ambiguity_set.needs_slopes:
            self.objective.check_slopes(type(ambiguity_set).__name__)
        if self._starts_at_random(start):
            self.objective.check_costs(self.objective.solved(self.train))
        seed = named_seed(self.seed, "net")
        seeds = member_seeds(seed, self.options.n_estimators)
        fork = uses_global_generator(self.predictor)
        with (
            pinned_threads(self.options.n_threads),
            forked_generator(seed, self.units.device) if fork else nullcontext(),
        ):
            try:
                if is_over:
                    stopped = Training(outcome="interrupted")
                    raise _InterruptedError(self._learner(seeds).state(), stopped)
                state, trainings = compute_once(
                    memory, self._parts(start), lambda: self._nominal(seeds, start, one_pass)
                )
                if fork:
                    # The second part must be the same whether the first was computed or recalled.
                    torch.manual_seed(named_seed(self.seed, "robust net"))
                learner = self._learner(seeds)
                learner.load(state)
                if ambiguity_set is None:
                    return FitResult(learner.trimmed(), trainings, None)
                return self._robust(learner, trainings, ambiguity_set)
            except _InterruptedError as early:
                learner = self._learner(seeds)
                learner.load(early.state)
                return FitResult(learner.trimmed(), [early.training], None)

    def _nominal(
        self, seeds: list[int], start: LastFit | None, one_pass: bool
    ) -> tuple[dict[str, torch.Tensor], list[Training]]:
        """Train on the real rows.

        If no step has changed a net, because decisions are constant near its initial predictions,
        its initial weights are drawn again, and all nets are trained anew.
        """
        for i in range(1, _N_DRAWS + 1):
            learner, training = self._trained(seeds, start, one_pass)
            if training.outcome == "interrupted":  # must not be cached as the result
                raise _InterruptedError(learner.state(), training)
            unmoved = unmoved_nets(training)
            if not unmoved or i == _N_DRAWS or not self._may_draw_again(start, training):
                break
            say(f"{len(unmoved)} of {len(seeds)} nets learnt nothing and are drawn again")
            seeds = [
                named_seed(each, "drawn again") if k in unmoved else each
                for k, each in enumerate(seeds)
            ]
        return learner.state(), [training]

    def _trained(
        self, seeds: list[int], start: LastFit | None, one_pass: bool
    ) -> tuple[NetLearner, Training]:
        """Build nets and train them on the real rows."""
        learner = self._learner(seeds)
        start_value: Any = math.inf
        if start is not None:
            known = self.train.replace(y=self.objective.targets(self.train))
            start_value = take_up(learner, start, self.rows, known, self.watched, self.remarks)
        elif not self._starts_at_random(start):
            start_value = self.watched.regret(learner)
        stopping = self.options.stopping(
            self.watched.name, self.options.n_iter_no_change, _N_REDUCTIONS, self.objective.unit
        )
        if one_pass:
            stopping.max_epochs, start_value = 1, math.inf
        # Members start to overfit in different epochs, so that each stops separately.
        by_member = self.options.n_estimators > 1 and self.valid is not None
        if by_member and math.isfinite(start_value):
            start_value = self.watched.regret_by_member(learner)
        elif by_member:
            start_value = np.full(self.options.n_estimators, math.inf)
        orders = self._orders("batches")
        source = NominalRows(
            *(learner, self.rows, self.watched, orders), one_pass=one_pass, by_member=by_member
        )
        training = run_stage(
            learner, self.objective, source, stopping, self.options, self.rows, start_value
        )
        return learner, training

    def _starts_at_random(self, start: LastFit | None) -> bool:
        """Return whether the initial weights are random, and not those of a trained net."""
        return start is None and not getattr(self.predictor, "starts_trained", False)

    def _may_draw_again(self, start: LastFit | None, training: Training) -> bool:
        """Return whether initial weights are random, and no callbacks or skorch net were given.

        Callbacks would be notified of several trainings.
        """
        is_ours = not isinstance(self.predictor, NeuralNet) and not self.options.callbacks
        return self._starts_at_random(start) and is_ours and training.outcome != "stopped"

    def _robust(
        self, learner: NetLearner, trainings: list[Training], ambiguity_set: AmbiguitySet
    ) -> FitResult:
        """Continue to train for the worst distribution in the set."""
        objective, options = self.objective.reseeded("robust loss"), self.options
        _ = objective.row_loss
        taken_up = self.train, objective.problem, named_seed(self.seed, "ambiguity set"), self.valid
        try:
            # A user-defined set may override this method without calling that of the base class.
            AmbiguitySet.set_nominal(ambiguity_set, *taken_up)
            ambiguity_set.set_nominal(*taken_up)
            with part("worst case"):
                source = WorstCaseRows(
                    PredictorRegret(learner, objective, options.learning_rate_init),
                    self.rows,
                    self.watched,
                    ambiguity_set,
                    nominal=self.train,
                    holds_out=self.valid is not None,
                    nominal_weight=options.nominal_weight,
                    batch_size=options.given_batch_size,
                    generators=self._orders("robust batches"),
                )
        except KeyboardInterrupt:
            if interrupts_are_passed_on():
                raise
            stopped = Training(outcome="interrupted")
            return FitResult(learner.trimmed(), [*trainings, stopped], None)
        patience = max(
            math.ceil(_ROBUST_PATIENCE * options.n_iter_no_change),
            2 * ambiguity_set.refresh_every,
            ambiguity_set.least_patience,
        )
        stopping = options.stopping(
            source.monitored, patience, _N_ROBUST_REDUCTIONS, objective.unit
        )
        with part("worst case"):
            training = run_stage(
                *(learner, objective, source, stopping, options, self.rows),
                source.numbers[source.monitored],
            )
            numbers = source.numbers
            say(f"the weights of epoch {training.best_epoch} are kept")
            try:  # for the weights that are kept, also if training was interrupted
                numbers = source.refresh() | ambiguity_set.report(source.row_loss)
            except KeyboardInterrupt:
                if interrupts_are_passed_on():
                    raise
                training.outcome = "interrupted"
        doubt_of_few_rows(ambiguity_set, source.worst, self.train)
        if self.valid is not None and ambiguity_set._watches_no_worst_case():
            self.remarks.append(_remark_on_watching(ambiguity_set, training))
        return FitResult(learner.trimmed(), [*trainings, training], numbers)

    def _orders(self, name: str) -> list[torch.Generator]:
        """Return the generator of each member's order of batches."""
        seeds = member_seeds(named_seed(self.seed, name), self.options.n_estimators)
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    def _learner(self, seeds: list[int]) -> NetLearner:
        options = self.options
        return NetLearner(
            self.predictor,
            self.rows,
            self.units,
            seeds=seeds,
            monitored=self.watched.name,
            callbacks=options.callbacks or (),
            weight_decay=options.alpha / float(self.train.weight.sum()),
            lr=options.learning_rate_init,
            batch_size=options.given_batch_size or auto_batch_size(len(self.rows)),
        )

    def _parts(self, start: LastFit | None) -> tuple[Any, ...] | None:
        """Return everything that the net trained on the real rows depends on, as a cache key.

        None where it must not be cached: training goes on from earlier weights, or there are
        callbacks.
        """
        options, units = self.options, self.units
        if start is not None or options.callbacks or has_listeners(self.predictor):
            return None
        names = (
            *("alpha", "batch_size", "learning_rate", "learning_rate_init", "max_iter", "tol"),
            *("n_iter_no_change", "n_estimators"),
        )
        rows = [self.train] if self.valid is None else [self.train, self.valid]
        return (
            *("predictor", self.predictor, self.objective.problem, self.objective.loss, self.seed),
            *((*each.arrays, each.weight) for each in rows),
            *(getattr(options, name) for name in names),
            *(units.scales, str(units.device), options.n_threads, str(units.dtype)),
            None if units.columns is None else (units.columns.positions, units.columns.is_feature),
        )


def _remark_on_watching(ambiguity_set: AmbiguitySet, training: Training) -> str:
    """Return a warning that training for the worst case was stopped by the plain regret."""
    kept = (
        "No epoch lowered that regret, so that the net trained on the rows as they are was kept: "
        "the set has changed nothing."
        if training.best_epoch == 0
        else "Epochs that were better in the worst case may have been discarded."
    )
    name = type(ambiguity_set).__name__
    return (
        f"{name} does not say what its worst case costs on rows held out, so that their plain "
        f"regret determined when to stop training for it. {kept} Implement "
        "held_out_regret(row_loss) or, for a set that weights rows by their losses, "
        "worst_weights(loss, weight); or hold no rows out, by early_stopping=False. If the plain "
        "regret is what you want, let held_out_regret return super().held_out_regret(row_loss)."
    )
