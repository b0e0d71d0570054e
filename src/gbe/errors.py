"""Every error gbe raises.

GbeError
├── ConfigError                        the operator's fault: a key, a value or a file; the text names it
│   └── UnknownStreamError             no stream has that name or pattern; the text names those there are
├── InvalidSubjectError                a subject or pattern that system-wide rules forbid
├── InvalidEnvelopeError               an id, a header or a trace context that cannot be what it claims
├── TransportError
│   ├── TransportUnavailableError      the engine's fault: the same call may succeed later
│   │   ├── PublishOutcomeUnknownError the message may or may not be stored; publish again with the same id
│   │   └── TransportFullError         the engine answers, and has no room, or a disk that cannot be written
│   ├── TransportClosedError           the caller closed it, or the program is shutting down
│   ├── PayloadTooLargeError           the message's fault: do not try again
│   ├── StreamNotFoundError            no configured stream stores that subject
│   ├── MessageNotFoundError           no stored message has that id
│   ├── InvalidCursorError             not a cursor that this engine gave out
│   ├── StreamConfigError              the engine refuses a stream as configured
│   ├── UnsupportedEngineError         the engine is too old or lacks a feature; the text names the floor
│   └── DeliverySettledError           a delivery was acked, nak'ed or dead-lettered twice
├── StateError
│   ├── StateUnavailableError          the engine's fault; a write may have happened: read before trying again
│   │   └── StateFullError             the engine answers, and has no room, or a disk that cannot be written
│   ├── StateClosedError               the caller closed the store, or the program is shutting down
│   ├── InvalidKeyError                a key, prefix, field or index name that the rules forbid
│   ├── InvalidRecordError             fields, a deadline or a TTL that no record can have
│   ├── RecordTooLargeError            large values belong into the object store (claim check)
│   └── LeaseLostError                 somebody else may hold the lease: stop acting on it
├── ObjectError
│   ├── ObjectUnavailableError         the store's fault: the same call may succeed later
│   ├── ObjectNotFoundError            no object has that name: expired, deleted, never written
│   ├── ObjectChangedError             an object is not what its reference says: size or checksum differ
│   ├── ObjectStoreRefusedError        no such bucket, wrong credentials, a folder that cannot be written
│   ├── InvalidObjectNameError         a name or reference that the rules forbid
│   └── ObjectTooLargeError            over the limit; sizes in bytes
├── ArchiveError                       an archive is not what it should be; the text names the file
│   └── SinkError                      base of what a sink of the archive raises
│       ├── SinkUnavailableError       the sink's fault: write the same batch again
│       ├── SinkRefusedError           wrong credentials, no such bucket or table, a full disk: the text says what
│       └── SinkConflictError          something else lies in a batch's place; nothing was overwritten
├── EngineError                        the embedded engine: cannot start, cannot be found, cannot be stopped
│   ├── DataDirectoryLockedError       another process serves that data directory
│   └── EngineNotRunningError          nothing serves that data directory; the text names ``gbe serve``
├── TaskError
│   ├── UnknownTaskTypeError           no worker, configuration or program has registered that type
│   ├── InvalidTaskError               a parameter or option that cannot be; names the field; nothing was written
│   ├── BrokenRecordError              what is stored is no record of a task or job; names the field
│   ├── TaskNotFoundError              never submitted, or its retention is over
│   ├── InvalidJobError                a job's definition or parameters; names the key (an InvalidTaskError)
│   ├── UnknownJobTypeError            nobody has defined that job type (an UnknownTaskTypeError)
│   ├── JobNotFoundError               never started, or its retention is over (a TaskNotFoundError)
│   ├── IllegalJobTransitionError      the job's state does not allow it (an IllegalTransitionError)
│   ├── IllegalTransitionError         the task's state does not allow it; the text names both
│   ├── TaskFailedError                what ``result`` raises for a task that failed
│   └── TaskCancelledError             what ``result`` raises for a task that was cancelled
├── DeadLetterError
│   ├── LetterNotFoundError            never written, or its retention is over
│   ├── InvalidLetterQueryError        a filter or an option that cannot be; names the field; nothing was changed
│   └── LetterConflictError            its status does not allow it, or somebody else was faster
├── ContractError                      schemas or vectors that cannot be read or used; the text names file and field
├── ScheduleError
│   ├── InvalidScheduleError           a setting that cannot be; names the field; nothing was written
│   ├── ScheduleNotFoundError          no schedule has that name
│   └── ScheduleConflictError          the name is taken, or the file defines it
├── EventError
│   ├── UnknownEventError              no schema covers that subject
│   └── InvalidEventError              an event that its schema refuses; names the field; nothing was stored
├── TemplateError                      a message template; the text says where and what
│   ├── TemplateSyntaxError            it cannot be read
│   ├── TemplateForbiddenError         it uses ``template``, ``define``, ``block`` or ``call``
│   ├── TemplateFailedError            it cannot be rendered with this data, or makes too much
│   └── TemplateTimeoutError           it takes too many steps or too long
└── NotifyError                        an ntfy error: ``code``, ``http``, ``link``; rendered only in gbe.http
"""

from pathlib import Path


class GbeError(Exception):
    """Base of everything that gbe raises on purpose."""


class ConfigError(GbeError):
    """The configuration cannot be used; the text names the key and says what would be accepted."""


class UnknownStreamError(ConfigError):
    """No stream of the configuration has that name or pattern."""

    def __init__(self, name: str, known: "list[str]", *, part_of: str | None = None) -> None:
        self.name = name
        if part_of is not None:
            what = f"a part of the stream {part_of}, and limits are those of whole streams: name that one"
        else:
            what = f"no stream; there are {', '.join(known)}, and `streams:` of gbe.yaml adds others"
        super().__init__(f"{name[:80]!r} is {what}")


class InvalidSubjectError(GbeError, ValueError):
    """Not a subject (or pattern): see ``gbe.subjects`` for the rules."""

    def __init__(self, subject: str, reason: str) -> None:
        self.subject, self.reason = subject, reason
        super().__init__(f"invalid subject {subject[:80]!r}: {reason}")


class InvalidEnvelopeError(GbeError, ValueError):
    """A message's metadata cannot be trusted to mean anything."""


class TransportError(GbeError):
    """Base of what a transport raises."""


class TransportUnavailableError(TransportError):
    """The engine did not answer before the operation's own deadline; the same call may succeed later."""


class PublishOutcomeUnknownError(TransportUnavailableError):
    """No answer came to a publish: it may be stored. Publish again with the same ``id``: it is stored once."""

    def __init__(self, subject: str, message_id: str) -> None:
        self.subject, self.message_id = subject, message_id
        super().__init__(f"the engine did not confirm message {message_id} on {subject} in time")


class TransportFullError(TransportUnavailableError):
    """The engine has no room, or cannot write its disk: nothing was stored. An operator must make room."""


class TransportClosedError(TransportError):
    """The transport was closed before or while the operation ran."""


class PayloadTooLargeError(TransportError):
    """A payload is larger than the transport takes; sizes in bytes."""

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(f"payload of {size} bytes is over the limit of {limit} bytes")


class StreamNotFoundError(TransportError):
    """No stream stores the subject: nothing would keep the message."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"no stream is configured for subject {subject!r}; add one to `streams:`")


class MessageNotFoundError(TransportError):
    """No stored message has that id: it was trimmed, never stored, or the id is foreign."""

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        super().__init__(f"no stored message has the id {message_id[:40]!r}")


class InvalidCursorError(TransportError, ValueError):
    """Not a cursor that a page of this engine came with."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"not a cursor of this engine: {cursor[:60]!r}; take the one that came with the last page")


class StreamConfigError(TransportError):
    """The engine refuses a stream as configured; the text carries its reason."""


class UnsupportedEngineError(TransportError):
    """The engine is too old, or was set up without what gbe needs."""


class DeliverySettledError(TransportError):
    """A delivery may be ended once: by ack, by nak or by dead_letter."""


class StateError(GbeError):
    """Base of what the state store and its leases raise."""


class StateUnavailableError(StateError):
    """The engine did not answer before the operation's own deadline.

    A read may simply be repeated. A write may or may not have happened: read before trying again.
    """


class StateFullError(StateUnavailableError):
    """The engine has no room, or cannot write its disk: nothing was written. An operator must make room."""


class StateClosedError(StateError):
    """The store was closed before or while the operation ran."""


class InvalidKeyError(StateError, ValueError):
    """Not a key, prefix, field or index name: see ``gbe.state.base`` for the rules. Nothing was written."""

    def __init__(self, name: str, reason: str, *, what: str = "key") -> None:
        self.name, self.reason = name, reason
        super().__init__(f"invalid {what} {name[:80]!r}: {reason}")


class InvalidRecordError(StateError, ValueError):
    """Fields, a deadline or a TTL that no record can have. Nothing was written."""


class RecordTooLargeError(StateError):
    """A record would be larger than the store takes; sizes in bytes. Nothing was written."""

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(
            f"record of {size} bytes is over the limit of {limit} bytes; "
            "put large values into the object store and keep a reference (claim check: gbe.objects)"
        )


class LeaseLostError(StateError):
    """The lease ended, or somebody else took it: whatever it protected must stop now."""

    def __init__(self, key: str, reason: str) -> None:
        self.key, self.reason = key, reason
        super().__init__(f"lease {key} is lost: {reason}")


class ObjectError(GbeError):
    """Base of what the object store raises."""


class ObjectUnavailableError(ObjectError):
    """The object store did not answer, or not as it should; the same call may succeed later."""


class ObjectNotFoundError(ObjectError):
    """No object has that name: it expired, was deleted, or was never written."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no object {name[:120]!r}")


class ObjectChangedError(ObjectError):
    """An object's bytes are not those that its reference was made for."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"object {name[:120]!r} is not what its reference says: {reason}")


class ObjectStoreRefusedError(ObjectError):
    """The store cannot be used as configured: no such bucket, wrong credentials, a folder that cannot be written."""


class InvalidObjectNameError(ObjectError, ValueError):
    """Not the name of an object, or not a reference to one. Nothing was read or written."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"invalid object name {name[:80]!r}: {reason}")


class ObjectTooLargeError(ObjectError):
    """An object is larger than the store takes; sizes in bytes. Nothing was written."""

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(f"object of {size} bytes is over the limit of {limit} bytes")


class ArchiveError(GbeError):
    """An archive, or a part of it, cannot be read or is not what it should be."""


class ArchiveQueryError(ArchiveError):
    """A query of the archive cannot be answered: a mistake in it, or a bound that it exceeds."""


class SinkError(ArchiveError):
    """Base of what a sink of the archive raises: the batch is not confirmed."""


class SinkUnavailableError(SinkError):
    """The sink did not answer, or not as it should: writing the same batch again may succeed."""


class SinkRefusedError(SinkError):
    """The sink cannot be used as it is configured, or is full; an operator has to do something."""


class SinkConflictError(SinkError):
    """In the place of a batch lies something else. Nothing was overwritten."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"{name[:300]} is there already, and is another one: {reason}")


class EngineError(GbeError):
    """The embedded engine cannot do what was asked."""


class DataDirectoryLockedError(EngineError):
    """Another process serves this data directory."""

    def __init__(self, data_dir: Path, holder: str) -> None:
        self.data_dir, self.holder = data_dir, holder
        super().__init__(f"data directory {data_dir} is in use by {holder}; stop it, or name another --data-dir")


class EngineNotRunningError(EngineError):
    """No process serves this data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        super().__init__(f"nothing serves data directory {data_dir}; start it with: gbe serve --data-dir {data_dir}")


class TaskError(GbeError):
    """Base of what the task system raises."""


class UnknownTaskTypeError(TaskError, LookupError):
    """Nobody has registered that task type."""

    def __init__(self, task_type: str) -> None:
        self.task_type = task_type
        super().__init__(
            f"unknown task type {task_type[:80]!r}: name it in the configuration (tasks:) or start a worker that has it"
        )


class InvalidTaskError(TaskError, ValueError):
    """A parameter or an option of a task cannot be what it was given as. Nothing was written."""

    def __init__(self, what: str, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{what[:80]}: {field}: {reason}" if field else f"{what[:80]}: {reason}")


class BrokenRecordError(TaskError):
    """What is stored cannot be read as a task or a job: somebody else wrote it, or a part of it.

    Attributes:
        field: its name.
        reason: the class of the error: ``type``, ``missing``, ``bound`` or ``enum`` (``schemas/README.md``).
    """

    def __init__(self, what: str, field: str, reason: str, detail: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"not {what}: {field}: {reason}: {detail}")


class TaskNotFoundError(TaskError, LookupError):
    """There is no task with that id."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"there is no task {task_id[:80]!r}: it was never submitted, or its retention is over")


class IllegalTransitionError(TaskError):
    """A task cannot go that way from where it is."""

    def __init__(self, state: str, event: str, task_id: str = "") -> None:
        self.state, self.event, self.task_id = state, event, task_id
        super().__init__(f"task {task_id} is {state}: {event} is not possible" if task_id else f"{event} from {state}")


class TaskFailedError(TaskError):
    """The task has failed for good."""

    def __init__(self, task_id: str, error: str) -> None:
        self.task_id, self.error = task_id, error
        super().__init__(f"task {task_id} failed: {error}")


class TaskCancelledError(TaskError):
    """The task was cancelled before it was done."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"task {task_id} was cancelled")


class InvalidJobError(InvalidTaskError):
    """A definition of a job, or a job's parameters, cannot be what they were given as. Nothing was written."""


class UnknownJobTypeError(UnknownTaskTypeError):
    """Nobody has defined that job type."""

    def __init__(self, job_type: str) -> None:
        TaskError.__init__(
            self,
            f"unknown job type {job_type[:80]!r}: define it in the configuration (jobs:), with gbe jobs define, "
            "or with App.job",
        )
        self.job_type = job_type


class JobNotFoundError(TaskNotFoundError):
    """There is no job with that id."""

    def __init__(self, job_id: str) -> None:
        TaskError.__init__(self, f"there is no job {job_id[:80]!r}: it was never started, or its retention is over")
        self.job_id = job_id


class IllegalJobTransitionError(IllegalTransitionError):
    """A job cannot go that way from where it is."""

    def __init__(self, state: str, event: str, job_id: str) -> None:
        TaskError.__init__(self, f"job {job_id} is {state}: {event} is not possible")
        self.state, self.event, self.job_id = state, event, job_id


class DeadLetterError(GbeError):
    """Base of what dead letters raise."""


class LetterNotFoundError(DeadLetterError, LookupError):
    """There is no dead letter with that id."""

    def __init__(self, letter_id: str) -> None:
        self.letter_id = letter_id
        super().__init__(f"there is no dead letter {letter_id[:80]!r}: it was never written, or its retention is over")


class InvalidLetterQueryError(DeadLetterError, ValueError):
    """A filter or an option cannot be what it was given as. Nothing was changed."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class LetterConflictError(DeadLetterError):
    """A letter's status does not allow it, or it changed meanwhile."""


class ContractError(GbeError):
    """Schemas or vectors that cannot be read, compared or scaffolded; the text names the file and says what to do."""


class ScheduleError(GbeError):
    """Base of what schedules raise."""


class InvalidScheduleError(ScheduleError, ValueError):
    """A schedule cannot be as it was given. Nothing was written."""

    def __init__(self, name: str, field: str, reason: str) -> None:
        self.name, self.field, self.reason = name, field, reason
        where = f"schedule {name[:80]}" if name else "schedule"
        super().__init__(f"{where}: {field}: {reason}" if field else f"{where}: {reason}")


class ScheduleNotFoundError(ScheduleError, LookupError):
    """There is no schedule of that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no schedule {name[:80]!r}; `gbe schedules list` shows all")


class ScheduleConflictError(ScheduleError):
    """What is there already does not allow it; the text says what to do."""


class EventError(GbeError):
    """Base of what the events domain raises."""


class UnknownEventError(EventError, LookupError):
    """Nobody has said what events of that subject look like."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(
            f"no schema covers the event subject {subject[:80]!r}: "
            "name it in the configuration (events:) or register it"
        )


class InvalidEventError(EventError, ValueError):
    """An event is not what the schema of its subject says. Nothing was stored."""

    def __init__(self, subject: str, field: str, reason: str) -> None:
        self.subject, self.field, self.reason = subject, field, reason
        super().__init__(f"event {subject[:80]}: {field}: {reason}" if field else f"event {subject[:80]}: {reason}")


class TemplateError(GbeError):
    """A message template cannot be used; the text says why."""


class TemplateSyntaxError(TemplateError):
    """It cannot be read: its author's fault."""


class TemplateForbiddenError(TemplateError):
    """It uses what no template may."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name!r} is not allowed")


class TemplateFailedError(TemplateError):
    """It cannot be rendered with this data, gives up by itself (``fail``), or makes too much."""


class TemplateTimeoutError(TemplateError):
    """It takes more steps or more time than it may."""


class NotifyError(GbeError):
    """A request that ntfy's interface refuses.

    Attributes:
        code: ntfy's five-digit error code (ntfy-http-api section 7); its first three digits are ``http``.
        http: the HTTP status.
        message: the text clients show, detail included.
        link: an absolute URL into ntfy's documentation, or an empty string.
    """

    def __init__(self, code: int, message: str, link: str = "") -> None:
        self.code, self.http, self.message, self.link = code, code // 100, message, link
        super().__init__(f"{code}: {message}")
