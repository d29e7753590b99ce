"""Placeholders for numbers, which cannot be calculated with."""

from typing import Any, ClassVar, NoReturn


class Marker:
    """A placeholder that raises an error in arithmetic, which says what to write instead."""

    instead: ClassVar[str]
    """A sentence that says what to write instead of a term."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError(f"{self!r} cannot be calculated with like this. {self.instead}")

    __add__ = __radd__ = __sub__ = __rsub__ = _refuse
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _refuse
    __matmul__ = __rmatmul__ = _refuse
    __divmod__ = __rdivmod__ = _refuse
    __neg__ = __pos__ = __abs__ = __float__ = __round__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
