"""Who the clients under test are: a user of the server ``closed``."""

from tests.ntfy.access.accounts import PASSWORD, TOKEN

USER = "anna"
__all__ = ["PASSWORD", "TOKEN", "USER"]
