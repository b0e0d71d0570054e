"""The public surface is a list, and importing it is cheap."""

import subprocess
import sys

import gbe


def test_every_name_of_the_surface_is_there() -> None:
    """``from gbe import App`` works for all of them, and for nothing else."""
    for name in gbe.__all__:
        assert getattr(gbe, name) is not None
    assert set(gbe.__all__) == {"App", "DoNotRetryError", "Event", "Task", "TaskContext", "__version__"}
    assert not hasattr(gbe, "Nonsense")


def test_importing_gbe_loads_nothing_else() -> None:
    """Only what is asked for is loaded."""
    code = "import sys, gbe; print([name for name in sys.modules if name.startswith('gbe.')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
