"""What one address may do rarely: fail to log in, make an account (section 8.3)."""

from gbe.notify.ledger import Bucket, Ledger


class Allowance:
    """A bucket of each visitor, counted where its other limits are.

    Args:
        burst: what a bucket holds.
        replenish: seconds until one more is in it.
    """

    def __init__(self, ledger: Ledger, bucket: Bucket, burst: int, replenish: float) -> None:
        self._ledger, self._bucket, self._burst, self._replenish = ledger, bucket, burst, replenish

    def has(self, visitor: str) -> bool:
        """Whether anything is left."""
        return self._ledger.left(visitor, self._bucket, burst=self._burst, replenish=self._replenish) > 0

    def take(self, visitor: str) -> bool:
        """Take one, if there is one."""
        return self._ledger.take(visitor, self._bucket, burst=self._burst, replenish=self._replenish)

    def give_back(self, visitor: str) -> None:
        """Undo a ``take``."""
        self._ledger.give_back(visitor, self._bucket, replenish=self._replenish)


def auth_failures(ledger: Ledger) -> Allowance:
    """Failed logins: 30 at once, one more a minute."""
    return Allowance(ledger, Bucket.AUTH_FAILURES, 30, 60.0)


def sign_ups(ledger: Ledger) -> Allowance:
    """New accounts: 3 at once, one more a day."""
    return Allowance(ledger, Bucket.SIGN_UPS, 3, 86_400.0)
