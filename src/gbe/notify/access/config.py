"""Settings of access control; names and defaults follow section 9."""

from dataclasses import dataclass, field

from gbe.errors import ConfigError, NotifyError
from gbe.notify.access.permissions import Permission, parse_permission
from gbe.notify.access.provisioned import Provisioned, provisioned


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessConfig:
    """Who may do what, as far as the configuration says it.

    Raises:
        ConfigError: a value that cannot be used; the text names key and value and says what is accepted.
    """

    auth: bool = False
    """Whether there are users and access control; any of the four below switches it on too."""

    auth_default_access: str = Permission.READ_WRITE.value
    """What everybody may who is no administrator, on topics that no entry is about."""

    auth_users: tuple[str, ...] = field(default=(), repr=False)
    """``NAME:BCRYPT-HASH:ROLE``: users that only the configuration can change."""

    auth_access: tuple[str, ...] = ()
    """``NAME:PATTERN:PERMISSION``, for those users, or ``everyone``."""

    auth_tokens: tuple[str, ...] = field(default=(), repr=False)
    """``NAME:TOKEN`` or ``NAME:TOKEN:LABEL``, for those users."""

    enable_login: bool = False
    """Whether the web app offers to log in."""

    enable_signup: bool = False
    """Whether anybody may make an account."""

    enable_reservations: bool = False
    """Whether users may reserve topics."""

    reservation_limit: int = 3
    """Topics that a user may reserve."""

    require_login: bool = False
    """Whether the web app asks for a login first."""

    def __post_init__(self) -> None:
        try:
            parse_permission(self.auth_default_access)
        except NotifyError:
            accepted = "read-write, read-only, write-only or deny-all"
            raise ConfigError(
                f"notify.auth_default_access is {self.auth_default_access!r}; accepted: {accepted}"
            ) from None
        self.provisioned()
        for name in ("enable_login", "enable_signup", "enable_reservations", "require_login"):
            if getattr(self, name) and not self.is_on:
                raise ConfigError(f"notify.{name} needs users: set notify.auth to true")
        if self.enable_signup and not self.enable_login:
            raise ConfigError("notify.enable_signup needs notify.enable_login: set it to true as well")
        if self.require_login and not self.enable_login:
            raise ConfigError("notify.require_login needs notify.enable_login: set it to true as well")

    @property
    def is_on(self) -> bool:
        """Whether there is access control."""
        return (
            self.auth
            or bool(self.auth_users or self.auth_access or self.auth_tokens)
            or parse_permission(self.auth_default_access) is not Permission.READ_WRITE
        )

    def provisioned(self) -> Provisioned:
        """The users, entries and tokens of the configuration. Raises ``ConfigError``."""
        return provisioned(self.auth_users, self.auth_access, self.auth_tokens)
