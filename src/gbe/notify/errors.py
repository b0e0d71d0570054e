"""Every error of ntfy's interface as one table: code, text, link (ntfy-http-api.md section 7).

``raise Refusal.PRIORITY_INVALID.error()``, or with a detail ``raise Refusal.ACTIONS_INVALID.error("only 3 actions
allowed")``. The first three digits of a code are the HTTP status. Where the specification is sure of a meaning but
not of the words (40050 to 40058, 42911), the words are ours.
"""

from enum import Enum
from typing import Final

from gbe.errors import NotifyError

DOCS: Final = "https://ntfy.sh/docs/"

_BAD: Final = "invalid request: "  # † in the table of section 7
_DELAY: Final = "publish/#scheduled-delivery"
_TEMPLATING: Final = "publish/#message-templating"
_SEQUENCES: Final = "publish/#updating-deleting-notifications"
_EMAIL: Final = "config/#e-mail-notifications"
_CALLS: Final = "publish/#phone-calls"
_LOGIN: Final = "publish/#authentication"
_LIMITS: Final = "publish/#limitations"


class Refusal(Enum):
    """One row of the table.

    Attributes:
        code: five digits; the first three are the HTTP status.
        text: what clients show.
        link: an absolute URL, or an empty string.
    """

    INVALID_REQUEST = 40000, "invalid request", ""
    EMAIL_DISABLED = 40001, "e-mail notifications are not enabled", _EMAIL
    DELAY_WITHOUT_CACHE = 40002, "cannot disable cache for delayed message", ""
    DELAY_WITH_EMAIL = 40003, "delayed e-mail notifications are not supported", ""
    DELAY_UNREADABLE = 40004, "invalid delay parameter: unable to parse delay", _DELAY
    DELAY_TOO_SMALL = 40005, "invalid delay parameter: too small, please refer to the docs", _DELAY
    DELAY_TOO_LARGE = 40006, "invalid delay parameter: too large, please refer to the docs", _DELAY
    PRIORITY_INVALID = 40007, "invalid priority parameter", "publish/#message-priority"
    SINCE_INVALID = 40008, "invalid since parameter", "subscribe/api/#fetch-cached-messages"
    TOPIC_INVALID = 40009, _BAD + "topic invalid", ""
    TOPIC_DISALLOWED = 40010, _BAD + "topic name is not allowed", ""
    MESSAGE_NOT_UTF8 = 40011, _BAD + "message must be UTF-8 encoded", ""
    ATTACHMENT_URL_INVALID = 40013, _BAD + "attachment URL is invalid", "publish/#attachments"
    ATTACHMENTS_DISALLOWED = 40014, _BAD + "attachments not allowed", "config/#attachments"
    ATTACHMENT_EXPIRES_FIRST = 40015, _BAD + "attachment expiry before delayed delivery date", _DELAY
    WEBSOCKET_EXPECTED = 40016, _BAD + "client not using the websocket protocol", "subscribe/api/#websockets"
    MESSAGE_JSON_INVALID = 40017, _BAD + "request body must be message JSON", "publish/#publish-as-json"
    ACTIONS_INVALID = 40018, _BAD + "actions invalid", "publish/#action-buttons"
    MATRIX_JSON_INVALID = 40019, _BAD + "Matrix JSON invalid", "publish/#matrix-gateway"
    ICON_URL_INVALID = 40021, _BAD + "icon URL is invalid", "publish/#icons"
    SIGNUP_DISABLED = 40022, _BAD + "signup not enabled", "config"
    TOKEN_MISSING = 40023, _BAD + "no token provided", ""
    JSON_INVALID = 40024, _BAD + "request body must be valid JSON", ""
    PERMISSION_INVALID = 40025, _BAD + "incorrect permission string", ""
    PASSWORD_WRONG = 40026, _BAD + "password confirmation is not correct", ""
    NOT_A_PAID_USER = 40027, _BAD + "not a paid user", ""
    BILLING_REQUEST_INVALID = 40028, _BAD + "not a valid billing request", ""
    BILLING_SUBSCRIPTION_EXISTS = 40029, _BAD + "subscription exists", ""
    TIER_UNKNOWN = 40030, _BAD + "tier does not exist", ""
    USER_UNKNOWN = 40031, _BAD + "user does not exist", ""
    CALLS_DISABLED = 40032, _BAD + "calling is disabled", "config/#phone-calls"
    PHONE_NUMBER_INVALID = 40033, _BAD + "phone number invalid", _CALLS
    PHONE_NUMBER_UNVERIFIED = 40034, _BAD + "phone number not verified", _CALLS
    CALL_ANONYMOUS = 40035, _BAD + "anonymous calls not allowed", _CALLS
    PHONE_CHANNEL_INVALID = 40036, _BAD + "bad verification channel", _CALLS
    DELAY_WITH_CALL = 40037, _BAD + "delayed call notifications are not supported", ""
    WEB_PUSH_INVALID = 40038, _BAD + "web push payload malformed", ""
    WEB_PUSH_ENDPOINT_UNKNOWN = 40039, _BAD + "web push endpoint unknown", ""
    WEB_PUSH_TOO_MANY_TOPICS = 40040, _BAD + "too many web push topic subscriptions", ""
    TEMPLATE_RESULT_TOO_LARGE = (
        40041,
        _BAD + "message or title is too large after replacing template",
        _TEMPLATING,
    )
    TEMPLATE_BODY_NOT_JSON = 40042, _BAD + "message body must be JSON if templating is enabled", _TEMPLATING
    TEMPLATE_INVALID = 40043, _BAD + "could not parse template", _TEMPLATING
    TEMPLATE_DISALLOWED_CALL = (
        40044,
        _BAD + "template contains disallowed function calls, e.g. template, call, or define",
        _TEMPLATING,
    )
    TEMPLATE_FAILED = 40045, _BAD + "template execution failed", _TEMPLATING
    USERNAME_INVALID = 40046, _BAD + "invalid username", ""
    TEMPLATE_FILE_MISSING = 40047, "template file not found", _TEMPLATING
    TEMPLATE_FILE_INVALID = 40048, "template file invalid", _TEMPLATING
    SEQUENCE_INVALID = 40049, "sequence ID invalid", _SEQUENCES
    EMAIL_INVALID = 40050, "invalid e-mail address", _EMAIL
    VERIFICATION_LINK_INVALID = 40051, "verification link invalid", ""
    EMAIL_UNVERIFIED = 40052, "address not verified", _EMAIL
    EMAIL_ANONYMOUS = 40053, "anonymous e-mail not allowed", _EMAIL
    RESET_LINK_INVALID = 40054, "reset link invalid", ""
    TEMPLATE_TIMED_OUT = 40055, "template timed out", _TEMPLATING
    TEMPLATE_TOO_LARGE = 40056, "template too large", _TEMPLATING
    TITLE_TOO_LARGE = 40057, "title too large", _LIMITS
    TAGS_TOO_LARGE = 40058, "tags too large", _LIMITS

    UNAUTHORIZED = 40101, "unauthorized", _LOGIN
    FORBIDDEN = 40301, "forbidden", _LOGIN
    NOT_FOUND = 40401, "page not found", ""

    USER_EXISTS = 40901, "conflict: user already exists", ""
    ACCESS_EXISTS = (
        40902,
        "conflict: access control entry for topic or topic pattern already exists",
        "",
    )
    SUBSCRIPTION_EXISTS = 40903, "conflict: topic subscription already exists", ""
    PHONE_NUMBER_EXISTS = 40904, "conflict: phone number already exists", ""
    USER_PROVISIONED = 40905, "conflict: provisioned user cannot be changed", ""
    TOKEN_PROVISIONED = 40906, "conflict: provisioned token cannot be changed", ""
    EMAIL_EXISTS = 40907, "conflict: e-mail exists", ""
    EMAIL_TAKEN = 40908, "conflict: primary address belongs to another user", ""
    PHONE_VERIFICATION_EXPIRED = 41001, "phone number verification expired or does not exist", ""

    ATTACHMENT_TOO_LARGE = 41301, "attachment too large, or bandwidth limit reached", _LIMITS
    MATRIX_TOO_LARGE = 41302, "Matrix request is larger than the max allowed length", ""
    JSON_TOO_LARGE = 41303, "JSON body too large", ""

    TOO_MANY_REQUESTS = 42901, "limit reached: too many requests", _LIMITS
    TOO_MANY_EMAILS = 42902, "limit reached: too many emails", _LIMITS
    TOO_MANY_SUBSCRIPTIONS = 42903, "limit reached: too many active subscriptions", _LIMITS
    TOO_MANY_TOPICS = (
        42904,
        "limit reached: the total number of topics on the server has been reached, please contact the admin",
        _LIMITS,
    )
    BANDWIDTH_SPENT = 42905, "limit reached: daily bandwidth reached", _LIMITS
    TOO_MANY_ACCOUNTS = 42906, "limit reached: too many accounts created", _LIMITS
    TOO_MANY_RESERVATIONS = 42907, "limit reached: too many topic reservations for this user", ""
    MESSAGES_SPENT = 42908, "limit reached: daily message quota reached", _LIMITS
    TOO_MANY_AUTH_FAILURES = 42909, "limit reached: too many auth failures", _LIMITS
    CALLS_SPENT = 42910, "limit reached: daily phone call quota reached", _LIMITS
    TOO_MANY_NEW_TOPICS = 42911, "too many new topics", _LIMITS

    INTERNAL = 50001, "internal server error", ""
    INTERNAL_INVALID_PATH = 50002, "internal server error: invalid path", ""
    BASE_URL_MISSING = 50003, "base-url must be configured for this feature", "config/"
    WEB_PUSH_FAILED = 50004, "internal server error: unable to publish web push message", ""
    NO_SUBSCRIBER = 50701, "cannot publish to UnifiedPush topic without previously active subscriber", ""

    def __init__(self, code: int, text: str, path: str) -> None:
        self.code = code
        self.text = text
        self.link = DOCS + path if path else ""

    def error(self, detail: str = "") -> NotifyError:
        """The exception to raise; ``detail`` follows the text after a semicolon."""
        return NotifyError(self.code, f"{self.text}; {detail}" if detail else self.text, self.link)
