"""The error for a decision that misses a constraint without a penalty."""

NOT_ALLOWED = (
    "Nothing that is predicted stands in it: the decision is not allowed, whatever comes true."
)


class NoCostError(ValueError):
    """A decision has no cost: it misses a constraint, or nothing makes up for it.

    Attributes
    ----------
    row_number : int
        Row of the first such decision.
    what : str
        What is wrong with it, as a predicate of "the decision".
    remedy : str
        What to do about it.
    """

    row_number: int = 0
    what: str = "misses a constraint"
    remedy: str = ""

    @classmethod
    def at(cls, row: int, what: str, remedy: str, text: str | None = None) -> "NoCostError":
        """Return the error of a row, optionally with another text than the usual one."""
        text = f"The decision of row {row} {what}, and has no cost." if text is None else text
        error = cls(f"{text} {remedy}".rstrip())
        error.row_number, error.what, error.remedy = row, what, remedy
        return error
