"""Parameters that hold other objects: errors that say which parameters can be set."""

from typing import Any


class NestedParamsMixin:
    """A `set_params` whose error names the missing object if one of its parameters is set."""

    def set_params(self, **params: Any) -> Any:
        """Set the parameters of this object and of the objects among its parameters.

        Parameters
        ----------
        **params : dict
            Names and values; ``name__inner`` sets `inner` of the object called `name`.

        Returns
        -------
        self
            The object itself.

        Raises
        ------
        ValueError
            If there is no such parameter, or no object that it could be set on.
        """
        own = self.get_params(deep=False)  # type: ignore[attr-defined]
        for key in params:
            name, nested, inner = key.partition("__")
            value = params.get(name, own.get(name))
            if nested and name in own and not hasattr(value, "set_params"):
                raise ValueError(
                    f"{key} cannot be set: {name} is {value!r}, which has no parameter {inner!r}. "
                    f"Give {name}= an object that has it."
                )
        return super().set_params(**params)  # type: ignore[misc]
