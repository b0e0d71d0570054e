"""What the routes work with, put together once."""

import time
from dataclasses import dataclass, field

from gbe.deadletters.letters import DeadLetters
from gbe.events.publisher import EventPublisher
from gbe.http.config import HttpConfig
from gbe.http.refusals import Refusals
from gbe.jobs.client import JobClient
from gbe.notify.access.access import Access
from gbe.notify.config import NotifyConfig
from gbe.notify.email.mailer import Mailer
from gbe.notify.files import Files
from gbe.notify.history import History
from gbe.notify.hub import Hub
from gbe.notify.rate_visitors import RateVisitors
from gbe.notify.scheduled import Scheduled
from gbe.notify.stats import Stats
from gbe.notify.topics_in_use import TopicsInUse
from gbe.notify.visitors import Visitors
from gbe.notify.webpush.live import LivePusher
from gbe.notify.webpush.subscriptions import Subscriptions
from gbe.schedules.client import ScheduleClient
from gbe.sweeper.streams import Streams
from gbe.tasks.client import TaskClient
from gbe.transport.base import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts behind the HTTP routes; everything a handler needs comes from here."""

    transport: Transport
    namespace: str
    http: HttpConfig
    notify: NotifyConfig
    hub: Hub
    history: History
    visitors: Visitors
    events: EventPublisher
    refusals: Refusals
    scheduled: Scheduled
    topics: TopicsInUse
    rate_visitors: RateVisitors
    stats: Stats
    files: Files | None = None
    access: Access | None = None
    mailer: Mailer | None = None
    push_subscriptions: Subscriptions | None = None
    live_pusher: LivePusher | None = None
    tasks: TaskClient | None = None
    dead_letters: DeadLetters | None = None
    schedules: ScheduleClient | None = None
    jobs: JobClient | None = None
    streams: Streams | None = None
    started: float = field(default_factory=time.time)


def now_ms() -> int:
    """Wall-clock time, unix milliseconds."""
    return time.time_ns() // 1_000_000
