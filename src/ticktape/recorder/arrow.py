"""What Arrow brings with it that no child needs: pandas, where that is installed.

pyarrow looks for it with the first column that it makes of a list or an array, which costs a
fifth of a second of CPU and 40 MB in the middle of the first burst.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Absent:
    """Finds no pandas."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
        /,
    ) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not looked for here", name=name)
        return None


def go_without_pandas() -> None:
    """Have pyarrow look for pandas now, and not find it; it looks but once.

    Others find it as before, and so does pyarrow when somebody asks it for something of pandas'.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(absent)
