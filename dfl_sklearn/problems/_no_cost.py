"""The error of a decision that misses a constraint, where nothing prices that."""


class NoCostError(ValueError):
    """A decision has no cost: it misses a constraint, or nothing makes up for it.

    Attributes
    ----------
    row_number : int
        Of the first such decision.
    what : str
        What is wrong with it, to go on from "the decision".
    remedy : str
        What to do about it.
    """

    row_number: int = 0
    what: str = "misses a constraint"
    remedy: str = ""

    @classmethod
    def at(cls, row: int, what: str, remedy: str, text: str | None = None) -> "NoCostError":
        """Return the error of a row, with another text in the place of the usual one."""
        text = f"The decision of row {row} {what}, and has no cost." if text is None else text
        error = cls(f"{text} {remedy}".rstrip())
        error.row_number, error.what, error.remedy = row, what, remedy
        return error
