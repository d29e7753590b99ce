"""The history of a fit, and the warning where training ended early."""

import pandas as pd

from ..learners.trainer import Training

_FEW_EPOCHS = 3  # in fewer epochs a loss may be unchanged by chance
_SAME = 1e-12  # relative difference of losses that count as equal


def continued(
    history: pd.DataFrame, best_epoch: int, trainings: list[Training]
) -> tuple[pd.DataFrame, int]:
    """Return a history with the epochs of further trainings, and the epoch that was kept."""
    for training in trainings:
        epochs, before = pd.DataFrame(training.history), len(history)
        if before and len(epochs):
            epochs["epoch"] += before
            epochs = pd.concat([history, epochs], ignore_index=True)
        history = epochs if len(epochs) else history
        if training.best_epoch:
            best_epoch = before + training.best_epoch
    return history, best_epoch


def early_end(
    trainings: list[Training],
    n_epochs: int,
    best_epoch: int,
    *,
    max_iter: int | None,
    lacks_worst: bool,
) -> str | None:
    """Return the warning where training ended before it had settled, or None.

    Parameters
    ----------
    trainings : list of Training
        The stages of a fit.
    n_epochs, best_epoch : int
        Number of epochs in the history, including earlier fits, and the epoch that was kept.
    max_iter : int or None
        None where only a fixed number of epochs was requested.
    lacks_worst : bool
        Whether training for the worst case was requested but did not take place.
    """
    n_epochs -= sum(len(each.history) for each in trainings)
    messages = []
    for training in trainings:
        n_epochs += len(training.history)
        if training.outcome in ("interrupted", "stopped"):
            by = "(Ctrl-C)" if training.outcome == "interrupted" else "by a callback that stops"
            messages.append(f"Training was interrupted {by} in epoch {n_epochs + 1}")
    if messages:
        messages[-1] += f"; the weights of epoch {best_epoch} are kept."
        if lacks_worst:
            messages[-1] += " They are not trained for the worst case."
        return ". ".join(messages)
    first = trainings[0]
    unmoved = unmoved_nets(first) if max_iter is not None else []
    if len(unmoved) == first.n_members:
        return (
            f"The loss of the training rows was the same in all {len(first.history)} epochs: "
            "around the net's initial predictions decisions do not change, as where all are at a "
            "limit, so that nothing was learnt. Try another random_state, standardize=True, "
            "or loss=ScoreFunctionLoss()."
        )
    if unmoved:
        messages.append(
            f"{len(unmoved)} of the {first.n_members} nets trained side by side (n_estimators) "
            f"learnt nothing in all {len(first.history)} epochs: at their predictions decisions "
            "do not change, as where all are at a limit. They count in decisions as much as the "
            "others. Try another random_state, standardize=True, or loss=ScoreFunctionLoss()."
        )
    if trainings[-1].outcome == "max_iter" and max_iter is not None:
        where = ""
        if len(trainings) > 1:
            where = ", for the worst case"
            if trainings[0].outcome == "max_iter":
                where = ", on the rows as they are and for the worst case"
        messages.append(
            f"Training stopped at max_iter={max_iter} epochs before the regret had settled{where}. "
            "Increase max_iter or tol."
        )
    return " ".join(messages) or None


def unmoved_nets(training: Training) -> list[int]:
    """Return the positions of the nets, usually none, that no step of a training has changed."""
    if len(training.history) < _FEW_EPOCHS:
        return []
    if _never_moved(training.history):
        return list(range(training.n_members))
    return training.unmoved


def _never_moved(history: list[dict[str, float]]) -> bool:
    """Return whether no step has changed a loss that is not 0."""
    losses = [each["train_loss"] for each in history]
    return max(losses) - min(losses) <= _SAME * abs(losses[0]) and losses[0] != 0
