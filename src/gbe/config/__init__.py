"""The configuration: ``gbe.yaml``, then ``GBE_…`` variables, then flags; later wins (system.md section 9).

Each part of gbe owns its class; here every key is named, values are read from text, and the parts are composed. An
unknown key is an error that suggests the nearest name.
"""

from gbe.config.display import shown
from gbe.config.keys import HIDDEN, KEYS, Key
from gbe.config.secrets import without_secrets
from gbe.config.settings import Settings, load, read_tasks
from gbe.config.streams import default_streams

__all__ = ["HIDDEN", "KEYS", "Key", "Settings", "default_streams", "load", "read_tasks", "shown", "without_secrets"]
