"""Put changed code into a process that has already imported it, without importing anything again.

Functions keep their identity and get other code, so whoever imported one by name calls the changed one. What runs while a
module is imported (tables, defaults, decorators) cannot be changed so; :func:`differences` says that with None.
"""

from __future__ import annotations

import gc
import inspect
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from types import CodeType, FunctionType

Key = tuple[int, str]  # line and qualified name, which are a function's within its file


@dataclass(frozen=True, slots=True)
class Difference:
    """A function whose code differs. ``own``: not only that of a function inside it."""

    key: Key
    code: CodeType
    own: bool


def key_of(code: CodeType) -> Key:
    return code.co_firstlineno, code.co_qualname


def differences(before: CodeType, after: CodeType) -> list[Difference] | None:
    """The functions that differ between two versions of one module, outer ones first; None when the module must be imported
    again for the difference to show."""
    inside_before, inside_after = _inside(before), _inside(after)
    if not _same(before, after) or len(inside_before) != len(inside_after):
        return None
    found: list[Difference] = []
    for old, new in zip(inside_before, inside_after, strict=True):
        if old.co_flags & inspect.CO_OPTIMIZED:
            found += _in_function(old, new)
            continue
        in_class = differences(old, new)
        if in_class is None:
            return None
        found += in_class
    return found


def _in_function(before: CodeType, after: CodeType) -> list[Difference]:
    if before == after and before.co_consts == after.co_consts:
        return []
    inside_before, inside_after = _inside(before), _inside(after)
    if not _same(before, after) or len(inside_before) != len(inside_after):
        return [Difference(key_of(before), after, own=True)]
    inner = [one for old, new in zip(inside_before, inside_after, strict=True) for one in _in_function(old, new)]
    return [Difference(key_of(before), after, own=False), *inner] if inner else []


def _inside(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _same(before: CodeType, after: CodeType) -> bool:
    def own(code: CodeType) -> tuple[object, ...]:
        consts = [None if isinstance(const, CodeType) else (type(const), repr(const)) for const in code.co_consts]
        return code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable, consts

    return own(before) == own(after)


class Functions:
    """Every living function of one file, and the results that functions of this product remember."""

    def __init__(self, filename: str, packages: tuple[str, ...]) -> None:
        self._by_key: dict[Key, list[FunctionType]] = defaultdict(list)
        self._caches = []
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename == filename:
                self._by_key[key_of(one.__code__)].append(one)
            elif type(one).__name__ == "_lru_cache_wrapper" and str(one.__module__).split(".")[0] in packages:
                self._caches.append(one)

    def forget(self) -> None:
        """Drop remembered results: they would hide who calls a function, and answer instead of a changed one."""
        for cache in self._caches:
            cache.cache_clear()

    def replace(self, found: Iterable[Difference]) -> None:
        self.forget()
        for difference in found:
            for function in self._by_key[difference.key]:
                if function.__code__.co_freevars == difference.code.co_freevars:
                    function.__code__ = difference.code
