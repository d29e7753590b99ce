"""The settings of a skorch net as predictor: which are used, and which are refused."""

from inspect import Parameter, signature
from typing import Any

from skorch import NeuralNet

from .construct import check_built_afresh

_INSTEAD = {
    "max_epochs": "Set max_iter of the estimator.",
    "train_split": "Set early_stopping and validation_fraction, or give X_val and y_val to fit.",
    "warm_start": "Set warm_start of the estimator.",
    "verbose": "Set verbose of the estimator.",
    "device": "Set device of the estimator.",
    "iterator_train": "Batches are drawn by the estimator, in random order, with the net's "
    "batch_size.",
    "iterator_valid": "Held-out rows are predicted at once.",
    "dataset": "Rows are passed to the net as tensors.",
    "predict_nonlinearity": "Let the module end with it.",
}
# Besides the defaults: settings that match what the estimator does anyway.
_HARMLESS: dict[str, tuple[Any, ...]] = {"verbose": (0, False), "train_split": (None, False)}


def check_settings(net: NeuralNet, device: str) -> None:
    """Raise a ValueError that names a setting of the net which would have no effect.

    The module, the optimiser, the learning rate, the batch size and the callbacks are those of the
    net; training itself, the rows and the loss are those of the estimator.
    """
    if net.get_params_for("criterion"):
        raise ValueError(
            "The skorch net given as predictor sets criterion__ parameters, but its "
            "criterion is replaced by the decision loss. Remove them."
        )
    params = net.get_params(deep=False)
    for name, advice in _INSTEAD.items():
        nested = sorted(key for key in params if key.startswith(f"{name}__"))
        value, default = params.get(name), _default(type(net), name)
        harmless = any(value is each for each in _HARMLESS.get(name, ()))
        if name == "device":
            harmless = str(value) == device
        if nested or not (harmless or _is_like(value, default)):
            what = f"{nested[0]}={params[nested[0]]!r}" if nested else f"{name}={value!r}"
            raise ValueError(
                f"The skorch net given as predictor has {what}, which would have no effect. "
                f"{advice}"
            )


def check_module_of(net: NeuralNet) -> None:
    """Raise a ValueError where the function that builds the net's module returns the same one."""
    build, params = net.module, net.get_params_for("module")
    if callable(build) and not isinstance(build, type) and not hasattr(build, "parameters"):
        check_built_afresh("The module of the skorch net", net.module_, lambda: build(**params))


def has_listeners(predictor: Any) -> bool:
    """Return whether a predictor is a skorch net with callbacks or hooks."""
    if not isinstance(predictor, NeuralNet):
        return False
    hooks = [name for name in vars(NeuralNet) if name.startswith("on_")]
    return predictor.callbacks not in (None, "disable") or any(
        getattr(type(predictor), name) is not getattr(NeuralNet, name) for name in hooks
    )


def _default(kind: type, name: str) -> Any:
    for each in kind.__mro__:
        found = signature(each.__init__).parameters.get(name)  # type: ignore[misc]
        if found is not None and found.default is not Parameter.empty:
            return found.default
    return None


def _is_like(value: Any, default: Any) -> bool:
    """Return whether a setting is its default, or a copy of it."""
    if value is default or type(value) is not type(default):
        return value is default
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return vars(value) == vars(default)
    return bool(value == default)
