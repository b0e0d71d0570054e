"""What all tests share."""

from hypothesis import settings

# no deadline for an example: how long it takes says something of the machine, not of the code
settings.register_profile("gbe", deadline=None)
settings.load_profile("gbe")

pytest_plugins = ("tests.redis_fixtures", "tests.service_fixtures")
