"""Imports of optional dependencies, with a message that says how to get them."""

import importlib
from types import ModuleType


def import_optional(module: str, *, extra: str, needed_by: str) -> ModuleType:
    """Import `module`, or raise an error that names the extra which installs it.

    Parameters
    ----------
    module : str
        The module's dotted name.
    extra : str
        The extra of this package that installs it.
    needed_by : str
        What the user asked for, for the message.

    Returns
    -------
    ModuleType

    Raises
    ------
    ImportError
        If the package is not installed, or is installed but cannot be imported.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except Exception as error:  # the import of an installed package may fail in any way
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise ImportError(
                f"{needed_by} needs the package {package!r}, which is not installed. "
                f'Install it with: pip install "dfl-sklearn[{extra}]"'
            ) from error
        raise ImportError(
            f"{needed_by} needs {module!r}, whose import failed, though {package!r} is installed: "
            f"{type(error).__name__}: {error}"
        ) from error
