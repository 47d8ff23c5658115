"""Loads a strategy file and calls its callbacks; nothing here knows journals or clocks.

A strategy is a class with any of `on_trade on_quote on_bar on_book on_tick on_correction on_cancel
on_status on_luld on_imbalance on_crypto_book on_news on_gap on_timer`, each called as
`on_trade(record, last)`; `on_timer(now_ns, last)` is called every `timer_s` seconds. What a
callback returns, if it is not None, is a decision: anything that JSON can hold, with the keys of
its dicts in alphabetical order.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from ticktape.decisions.own_last import OwnLastValues
from ticktape.errors import DecisionError
from ticktape.records import Record

CALLBACKS = {
    "trades": "on_trade",
    "quotes": "on_quote",
    "bars": "on_bar",
    "books": "on_book",
    "ticks": "on_tick",
    "corrections": "on_correction",
    "cancels": "on_cancel",
    "statuses": "on_status",
    "lulds": "on_luld",
    "imbalances": "on_imbalance",
    "crypto_books": "on_crypto_book",
    "news": "on_news",
    "gaps": "on_gap",
}
_TIMER = "on_timer"
_TIMER_S_MAX = 86_400.0
# A set of texts has another order in every process; sorted, a replay's bytes are the same.
_encode = msgspec.json.Encoder(order="deterministic").encode


class Strategy:
    """One instance of the user's class, with its own last values."""

    def __init__(self, name: str, instance: object, file: Path | None = None) -> None:
        self.name = name
        self._file = file
        self.last = OwnLastValues()
        self._callbacks: dict[str, Callable[..., object]] = {
            kind: getattr(instance, callback)
            for kind, callback in CALLBACKS.items()
            if callable(getattr(instance, callback, None))
        }
        timer = getattr(instance, _TIMER, None)
        self._timer: Callable[..., object] | None = timer if callable(timer) else None
        self.timer_s = float(getattr(instance, "timer_s", 0) or 0) if self._timer else 0.0
        if self._timer is not None and not 0 < self.timer_s <= _TIMER_S_MAX:
            raise DecisionError(
                f"strategy {name} has on_timer, and timer_s is {self.timer_s:g}",
                decision=name,
                hint="Say timer_s = … in the class: the seconds between two calls of on_timer.",
            )

    def decide_all(
        self,
        records: Iterable[Record],
        decided: Callable[[Record, bytes], None],
        failed: Callable[[Record, DecisionError], bool],
    ) -> int:
        """Give records to their callbacks, in order; how many were given.

        Args:
            records: what comes next.
            decided: called with each record that led to a decision, and that as JSON.
            failed: called with each record whose callback raised, or returned what JSON cannot
                hold; whether to go on.
        """
        # One flat loop: a call per record and one for its values would be a quarter of the cost.
        last, callbacks = self.last, self._callbacks
        given = 0
        for record in records:
            given += 1
            last.update(record)
            callback = callbacks.get(record.kind)
            if callback is None:
                continue
            try:
                value = callback(record, last)
                said = None if value is None else _encode(value)
            except BaseException as error:  # noqa: BLE001 - a strategy's sys.exit(), too
                if not failed(record, self._failure(callback, record.seq, error)):
                    break
                continue
            if said is not None:
                decided(record, said)
        return given

    def on_timer(self, now_ns: int) -> bytes | None:
        """Call the timer; the JSON of what it returned, None for nothing.

        Raises:
            DecisionError: it raised, or returned what JSON cannot hold.
        """
        timer = self._timer
        if timer is None:
            return None
        try:
            value = timer(now_ns, self.last)
            return None if value is None else _encode(value)
        except BaseException as error:  # a strategy's sys.exit() is an error, too
            raise self._failure(timer, -1, error) from error

    def detach(self, kind: str) -> None:
        """Never call the callback of `kind` ("timer" for the timer) again."""
        if kind == "timer":
            self._timer = None
        self._callbacks.pop(kind, None)

    def _failure(
        self, callback: Callable[..., object], seq: int, error: BaseException
    ) -> DecisionError:
        where = _place(error, self._file)
        failure = DecisionError(
            f"strategy {self.name}: {callback.__name__} raised "
            f"{type(error).__name__}: {error}{where}",
            decision=self.name,
            seq=seq,
            hint="Recording goes on. Mend the strategy and try it: ticktape replay DIR.",
        )
        failure.__cause__ = error
        return failure


def _place(error: BaseException, file: Path | None) -> str:
    """Where it went wrong: the innermost line of the strategy's own folder, else of all."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f" ({Path(error.filename).name}:{error.lineno})"
    found = ""
    is_own = False
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        own = file is not None and path.parent == file.parent
        if own or not is_own:
            found = f" ({path.name}:{trace.tb_lineno})"
        is_own = is_own or own
        trace = trace.tb_next
    return found


def load_strategy(path: Path, name: str, class_name: str = "") -> Strategy:
    """A fresh instance of the strategy in the file at `path`.

    Args:
        path: a Python file; its folder may hold modules that it imports.
        name: what the strategy is called.
        class_name: which class; "" takes the only class with a callback.

    Raises:
        DecisionError: no such file, it cannot be imported, or it has no or several strategies.
    """
    path = path.resolve()
    made = _class_of(_import(path, name), path, name, class_name)
    try:
        instance = made()
    except BaseException as error:
        words = f"{type(error).__name__}: {error}{_place(error, path)}"
        raise DecisionError(
            f"{path}: making the strategy raised {words}",
            decision=name,
            hint="Its __init__ is called without arguments.",
        ) from error
    try:
        return Strategy(name, instance, path)
    except (TypeError, ValueError) as error:
        raise DecisionError(
            f"{path}: timer_s is no number: {error}", decision=name, hint="Say timer_s = 1.0"
        ) from error


def _class_of(module: Any, path: Path, name: str, class_name: str) -> type:  # noqa: ANN401
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and any(callable(getattr(value, each, None)) for each in (*CALLBACKS.values(), _TIMER))
    }
    names = ", ".join(found) or "none"
    if class_name and class_name not in found:
        raise DecisionError(
            f"{path}: no strategy class {class_name!r} (there are: {names})",
            decision=name,
            hint="class_name is the class to take; it needs a callback like on_trade.",
        )
    if class_name:
        return found[class_name]
    if len(found) != 1:
        one = "One class needs a callback: " + ", ".join((*CALLBACKS.values(), _TIMER)) + "."
        raise DecisionError(
            f"{path}: {len(found)} strategy classes found ({names}), one is needed",
            decision=name,
            hint='Say which one: class_name = "…" in the config, or --class-name.'
            if found
            else one,
        )
    return next(iter(found.values()))


def _import(path: Path, name: str) -> Any:  # noqa: ANN401 - a module is whatever its file says
    spec = importlib.util.spec_from_file_location(f"ticktape_strategy_{name}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DecisionError(
            f"{path}: no such strategy file", decision=name, hint="Check file = … in [[decide]]."
        )
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        # Last, not first: a file called queue.py beside a strategy must not take over the process.
        sys.path.append(str(path.parent))
    _forget_folder(path.parent)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise DecisionError(
            f"{path}: importing it raised {type(error).__name__}: {error}{_place(error, path)}",
            decision=name,
            hint="Run it with python to see the whole traceback.",
        ) from error
    return module


def _forget_folder(folder: Path) -> None:
    """Have modules beside the strategy imported anew: what they keep belongs to one instance."""
    for key, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and Path(file) == folder / f"{key}.py":
            del sys.modules[key]
