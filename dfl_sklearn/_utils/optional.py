"""Imports of optional dependencies, with a message that says how to get them."""

import importlib
from types import ModuleType


def import_optional(module: str, *, extra: str, needed_by: str) -> ModuleType:
    """Import `module`, or say which extra brings it.

    Parameters
    ----------
    module : str
        The module's dotted name.
    extra : str
        The extra of this package that installs it.
    needed_by : str
        What the user asked for, named in the message.

    Returns
    -------
    ModuleType

    Raises
    ------
    ImportError
        If the package is not installed, or if it is and its import fails.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except Exception as error:  # a package that is there may fail in any way
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise ImportError(
                f"{needed_by} needs the package {package!r}, which is not installed. "
                f'Install it with: pip install "dfl-sklearn[{extra}]"'
            ) from error
        raise ImportError(
            f"{needed_by} needs {module!r}, whose import failed, though {package!r} is installed: "
            f"{type(error).__name__}: {error}"
        ) from error
