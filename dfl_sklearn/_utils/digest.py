"""Digests of parameter objects, data and functions: equal digests mean equal results."""

import dis
import enum
import functools
import hashlib
import importlib.util
import pathlib
import sys
import types
import weakref
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), slice, range)
# What Python and others write into a class, and what has no part in what it does.
_NOT_CODE = frozenset(
    [
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"),
        *("__orig_bases__", "__parameters__", "__abstractmethods__", "__slotnames__", "_abc_impl"),
        *("__firstlineno__", "__static_attributes__", "__dataclass_fields__"),
        *("__dataclass_params__",),
    ]
)
_DESCRIPTORS = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)
_SITES = ("site-packages", "dist-packages")


class OpaqueError(Exception):
    """A part that cannot be identified by its value; the message names it."""


def digest(*parts: Any) -> str:
    """Return a digest of arrays, numbers, strings, parameter objects, modules and functions.

    Arrays count by value, estimators by class and parameters, torch modules by class and state.
    Functions and classes count by their code and all that it refers to (globals, closures,
    defaults), so that a function redefined in a notebook has another digest. Those of installed
    packages count by their name and the package's version. The versions of this package, and of
    those that it computes with, count as well.

    Raises
    ------
    OpaqueError
        If a part cannot be identified by its value, such as an open file, a generator of random
        numbers, or a parameter ``random_state=None``.
    """
    feed = _Feed()
    for name in ("dfl_sklearn", "numpy", "scipy", "sklearn", "skorch", "torch"):
        feed.write("version", f"{name} {_version(name)}")
    feed.write("python", sys.version)
    for part in parts:
        feed.add(part)
    return feed.state.hexdigest()


class _Feed:
    """A hash that is fed objects.

    A function or class met again counts by the position of its first occurrence. So does an object
    that contains itself.
    """

    def __init__(self) -> None:
        self.state = hashlib.sha256()
        self._met: dict[int, int] = {}

    def write(self, kind: str, value: str | bytes) -> None:
        data = value.encode() if isinstance(value, str) else value
        # With its length, so that no two sequences of values are written alike.
        self.state.update(f"{kind} {len(data)}:".encode() + data)

    def add(self, part: Any) -> None:
        """Feed anything."""
        if type(part) in _PLAIN:
            self.write(type(part).__name__, repr(part))
            return
        if id(part) in self._met:
            self.write("again", str(self._met[id(part)]))
            return
        self._met[id(part)] = len(self._met)
        if isinstance(part, type):
            self._add_class(part)
        elif isinstance(part, types.FunctionType):
            self._add_function(part)
        else:
            self._add_value(part)
            # The same values give the same digest, whether or not they are one object.
            del self._met[id(part)]

    def _add_value(self, part: Any) -> None:
        import torch

        self.add(type(part))
        if isinstance(part, enum.Enum):
            self.write("name", part.name)
        elif isinstance(part, np.ndarray | np.generic):
            self._add_array(np.asarray(part))
        elif isinstance(part, torch.Tensor):
            self._add_tensor(part)
        elif isinstance(part, np.dtype | torch.dtype | torch.device | pathlib.PurePath):
            self.write("repr", repr(part))
        elif isinstance(part, list | tuple):
            self.write("length", str(len(part)))
            for each in part:
                self.add(each)
        elif isinstance(part, set | frozenset):
            for alone in sorted(map(_alone, part)):
                self.write("item", alone)
        elif isinstance(part, dict | types.MappingProxyType):
            self._add_mapping(part)
        elif isinstance(part, types.ModuleType):
            self._add_module(part, ())
        elif isinstance(part, types.CodeType):
            self._add_code(part)
        elif isinstance(part, types.BuiltinFunctionType | np.ufunc):
            self._add_builtin(part)
        elif isinstance(part, _DESCRIPTORS):
            self.write("name", part.__name__)
        elif (inner := _inside(part)) is not None:
            for each in inner:
                self.add(each)
        elif hasattr(part, "get_params"):
            self._add_estimator(part)
        elif isinstance(part, torch.nn.Module):
            self._add_mapping(vars(part))  # its parameters, buffers and settings
        else:
            self._add_object(part)

    def _add_tensor(self, tensor: Any) -> None:
        try:
            self._add_array(tensor.detach().cpu().numpy())
        except (TypeError, RuntimeError) as error:  # a type that NumPy does not have
            raise OpaqueError(f"a tensor of {tensor.dtype} has no digest") from error

    def _add_array(self, array: np.ndarray) -> None:
        if array.dtype.hasobject:
            self.write("shape", repr(array.shape))
            self.add(array.ravel().tolist())
            return
        if array.dtype.kind in "fc":
            array = array + 0.0  # -0.0 is 0.0
        self.write("array", repr((array.shape, array.dtype.str)))
        self.write("values", np.ascontiguousarray(array).tobytes())

    def _add_mapping(self, mapping: Any) -> None:
        self.write("length", str(len(mapping)))
        for key in sorted(mapping, key=_alone):
            self.add(key)
            self.add(mapping[key])

    def _add_estimator(self, part: Any) -> None:
        for name, value in sorted(part.get_params(deep=False).items()):
            if name == "random_state" and value is None:
                raise OpaqueError(f"{type(part).__name__} has random_state=None")
            self.write("parameter", name)
            self.add(value)

    def _add_object(self, part: Any) -> None:
        """Feed an object that is determined by its class and its attributes."""
        kind = type(part)
        plain = kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__
        slots = any("__slots__" in vars(each) and vars(each)["__slots__"] for each in kind.__mro__)
        heap_type = all(each is object or each.__flags__ & (1 << 9) for each in kind.__mro__)
        if not (plain and heap_type and hasattr(part, "__dict__")) or slots:
            raise OpaqueError(f"{_short(part)} cannot be identified by its value")
        self._add_mapping(vars(part))

    # -- code ----------------------------------------------------------------------------

    def _add_class(self, kind: type) -> None:
        self.write("class", _name(kind))
        if _is_installed(kind.__module__):
            self.write("version", _version(kind.__module__))
            return
        for base in kind.__mro__[1:]:
            self.add(base)
        for name, value in sorted(vars(kind).items()):
            if name not in _NOT_CODE:
                self.write("attribute", name)
                self.add(value)

    def _add_function(self, function: types.FunctionType) -> None:
        self.write("function", _name(function))
        if _is_installed(function.__module__) and _is_importable(function):
            self.write("version", _version(function.__module__))
            return
        self.add(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            self.add(value)
        if vars(function):
            self._add_mapping(vars(function))
        for name, value in _referred_to(function):
            self.write("global", name)
            if isinstance(value, types.ModuleType):
                self._add_module(value, _names(function.__code__))
            else:
                self.add(value)

    def _add_builtin(self, function: Any) -> None:
        owner = getattr(function, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType):
            raise OpaqueError(f"{_short(function)} cannot be identified by its value")
        self.write("builtin", f"{getattr(function, '__module__', '')} {function.__name__}")

    def _add_code(self, code: types.CodeType) -> None:
        self.write("code", code.co_code)
        signature = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        self.write("signature", repr((*signature, code.co_flags, code.co_names, code.co_varnames)))
        self.write("cells", repr((code.co_freevars, code.co_cellvars)))
        self.write("exceptions", getattr(code, "co_exceptiontable", b""))
        for constant in code.co_consts:
            self.add(constant)

    def _add_module(self, module: types.ModuleType, names: tuple[str, ...]) -> None:
        """Feed an installed module by name and version, any other by the parts that are used."""
        self.write("module", module.__name__)
        if _is_installed(module.__name__):
            self.write("version", _version(module.__name__))
            return
        if not names:
            raise OpaqueError(f"the module {module.__name__} is used as a whole")
        for name in names:
            if name in vars(module):
                self.write("attribute", name)
                value = vars(module)[name]
                if isinstance(value, types.ModuleType):
                    self._add_module(value, names)
                else:
                    self.add(value)


def _alone(part: Any) -> str:
    """Return a digest of one part by itself, by which parts are sorted."""
    feed = _Feed()
    feed.add(part)
    return feed.state.hexdigest()


def _short(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _inside(part: Any) -> tuple[Any, ...] | None:
    """Return the parts of one of Python's own callables or descriptors, or None."""
    if isinstance(part, types.MethodType):
        return part.__func__, part.__self__
    if isinstance(part, functools.partial):
        return part.func, part.args, part.keywords
    if isinstance(part, staticmethod | classmethod):
        return (part.__func__,)
    if isinstance(part, property):
        return part.fget, part.fset, part.fdel
    if isinstance(part, functools.cached_property):
        return (part.func,)
    if isinstance(part, weakref.ref):
        return (part(),)
    if isinstance(part, functools._lru_cache_wrapper):
        return (part.__wrapped__,)
    return None


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _codes(code: types.CodeType) -> list[types.CodeType]:
    """Return a function's code and that of the functions and classes inside it."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return [code, *(each for part in inner for each in _codes(part))]


def _names(code: types.CodeType) -> tuple[str, ...]:
    return tuple(sorted({name for each in _codes(code) for name in each.co_names}))


def _referred_to(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Return the globals that a function reads and the modules that it imports, by name."""
    found: dict[str, Any] = {}
    for code in _codes(function.__code__):
        for step in dis.get_instructions(code):
            name = str(step.argval)
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and name in function.__globals__:
                found[name] = function.__globals__[name]
            elif step.opname == "IMPORT_NAME" and name not in sys.modules:
                if not _is_installed(name):
                    raise OpaqueError(f"{_name(function)} imports {name!r} when it is called")
                found[f"import {name}"] = name
            elif step.opname == "IMPORT_NAME":
                found[f"import {name}"] = sys.modules[name]
    return sorted(found.items())


def _is_importable(function: types.FunctionType) -> bool:
    """Return whether a function can be imported by its name: it is not made inside another one."""
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


@functools.cache
def _is_installed(module: str | None) -> bool:
    """Return whether a module is this package's, Python's, or in a folder of installed packages."""
    top = (module or "").partition(".")[0]
    if top in ("dfl_sklearn", *sys.builtin_module_names) or top in sys.stdlib_module_names:
        return True
    if top in ("", "__main__"):
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    places = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or ())]
    return any(part in pathlib.Path(place).parts for place in places for part in _SITES)


def _version(module: str) -> str:
    top = sys.modules.get(module.partition(".")[0])
    return str(getattr(top, "__version__", ""))
