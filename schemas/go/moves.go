package schema

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// SignalPatience is how long a signal may go unanswered before the sweeper looks whether it still exists.
	SignalPatience = 5 * time.Second
	// AnnouncePatience is how long whoever ends a task may take to publish its outcome before the sweeper does.
	AnnouncePatience = 5 * time.Second
	// MaxErrorCharacters is how much of an error is kept.
	MaxErrorCharacters = 4000

	// as patternProperties of tasks/record.json have it
	maxHistoryCharacters = 200
	keptAttempts         = 32
)

// A FieldValue is a field of a record, as expected or as changed.
type FieldValue struct {
	Name string
	// Value is nil for a field that is not there, or is to go.
	Value []byte
}

// A Move is one step of a task's life as a conditional write: all expected fields are found, then in the same atomic
// step all changes are made; otherwise nothing is, and the writer has lost the task. The attempt that is expected is
// the fence: a worker that was presumed dead cannot overwrite its successor.
type Move struct {
	Expected, Changes []FieldValue
	// TTL is the rest of the record's life; 0 leaves it as it is.
	TTL time.Duration
}

func of[T ~string](name string, value T) FieldValue { return FieldValue{name, []byte(value)} }

func ofNumber(name string, value int64) FieldValue { return FieldValue{name, decimal(value)} }

func gone(name string) FieldValue { return FieldValue{Name: name} }

func atAttempt(state TaskRecordState, attempt int64) []FieldValue {
	return []FieldValue{of("state", state), ofNumber("attempt", attempt)}
}

// held is what a worker finds of a task that it still holds.
func held(attempt int64) []FieldValue { return atAttempt(TaskRecordStateRunning, attempt) }

// A Claimant is who takes a task, and on what terms. Moments are unix milliseconds.
type Claimant struct {
	// Worker is its name, for people.
	Worker string
	// TimeoutAt is until when it holds the task.
	TimeoutAt int64
	// MaxRetries is the budget that counts; it is written down for whoever finds the task lost.
	MaxRetries int64
	// Trace is the trace context of this attempt if it is the first that has one; otherwise empty.
	Trace string
}

// Claim takes a pending task and starts it, in one write; the attempt that it then holds is one more.
func Claim(attempt, now int64, by Claimant) Move {
	changes := []FieldValue{
		of("state", TaskRecordStateRunning),
		ofNumber("attempt", attempt+1),
		of("worker", by.Worker),
		ofNumber("updated_at", now),
		ofNumber("started_at", now),
		ofNumber("timeout_at", by.TimeoutAt),
		ofNumber("max_retries", by.MaxRetries),
	}
	if by.Trace != "" {
		changes = append(changes, of("attempt_trace", by.Trace))
	}
	return Move{Expected: atAttempt(TaskRecordStatePending, attempt), Changes: changes}
}

// Renew holds a task longer: until timeoutAt. Fields of progress may come with it.
func Renew(attempt, now, timeoutAt int64, progress ...FieldValue) Move {
	changes := []FieldValue{ofNumber("timeout_at", timeoutAt), ofNumber("updated_at", now)}
	return Move{Expected: held(attempt), Changes: append(changes, progress...)}
}

// An Ending is how long the record of a task that has ended lives, and who publishes the outcome.
type Ending struct {
	// Retention is the record's life from now on, more than 0.
	Retention time.Duration
	// AnnounceAt is when the sweeper is to publish the outcome unless somebody has (Announced), unix milliseconds: now
	// and AnnouncePatience. 0 if the task's signal is held until then, and so would come back.
	AnnounceAt int64
}

// Complete ends a task that is done. The result is JSON, or nil for none.
func Complete(attempt, now int64, result []byte, ending Ending) Move {
	changes := append(ended(TaskRecordStateCompleted, now, ending.AnnounceAt), gone("error"))
	if result != nil {
		changes = append(changes, FieldValue{"result", result})
	}
	return Move{held(attempt), changes, ending.Retention}
}

// Fail ends a task that has failed for good.
func Fail(attempt, now, retryCount int64, failure string, ending Ending) Move {
	changes := append(ended(TaskRecordStateFailed, now, ending.AnnounceAt), failed(failure, retryCount)...)
	return Move{held(attempt), changes, ending.Retention}
}

// Retry gives up an attempt that has failed; another one follows, not before runAt.
func Retry(attempt, now, runAt, retryCount int64, failure string) Move {
	return Move{Expected: held(attempt), Changes: append(waiting(now, runAt), failed(failure, retryCount)...)}
}

// HandBack gives up a task because the worker stops: it goes on elsewhere, and nothing is counted.
func HandBack(attempt, now int64) Move {
	return Move{Expected: held(attempt), Changes: waiting(now, now)}
}

// Cancel ends a task that is not wanted any more, pending or running; a worker that has it learns it when Renew is
// refused. It is false if the task has ended already. A task of a job also notes how its attempt ends. The sweeper
// publishes the outcome after AnnouncePatience, unless somebody has and says so (Announced).
func Cancel(record TaskRecord, now int64, reason string, retention time.Duration) (Move, bool) {
	if hasEnded(record) {
		return Move{}, false
	}
	move := Move{
		// not as it was seen to the letter: the lease may be renewed meanwhile
		Expected: atAttempt(record.State, record.Attempt),
		Changes:  append(ended(TaskRecordStateCancelled, now, now+AnnouncePatience.Milliseconds()), of("error", shortened(reason))),
		TTL:      retention,
	}
	if record.JobID != nil && record.State != TaskRecordStatePending {
		move = move.WithEnd(record.Attempt, now)
	}
	return move, true
}

// AnnounceLater leaves it to the sweeper to publish, at announceAt, the outcome of a task that has ended and of which
// nobody is about to tell: for who gets a signal again whose task has ended. It is false if there is nothing to be done.
func AnnounceLater(record TaskRecord, announceAt int64) (Move, bool) {
	if !hasEnded(record) || record.TimeoutAt != nil {
		return Move{}, false
	}
	return Move{
		Expected: append(atAttempt(record.State, record.Attempt), gone("timeout_at")),
		Changes:  []FieldValue{ofNumber("timeout_at", announceAt)},
	}, true
}

func hasEnded(record TaskRecord) bool {
	switch record.State {
	case TaskRecordStateCompleted, TaskRecordStateFailed, TaskRecordStateCancelled:
		return true
	}
	return false
}

// WithStart is a claim that also notes that an attempt begins, as those of tasks of jobs do. The attempt is the new one.
func (m Move) WithStart(attempt, now int64, worker, traceparent string) Move {
	start := AttemptStarted{Attempt: attempt, At: now, Worker: worker}
	if traceparent != "" {
		start.Traceparent = &traceparent
	}
	return m.with(attempt, "started", lineOf(&start))
}

// WithEnd is a move that also notes how an attempt ends, as those of tasks of jobs do.
func (m Move) WithEnd(attempt, now int64) Move {
	changed := map[string]string{}
	for _, field := range m.Changes {
		changed[field.Name] = string(field.Value)
	}
	end := AttemptEnded{Attempt: attempt, At: now, How: AttemptEndedHow(changed["state"])}
	if failure := cut(changed["error"], maxHistoryCharacters); failure != "" {
		end.Error = &failure
	}
	switch {
	case changed["state"] != string(TaskRecordStatePending):
	case end.Error == nil:
		end.How = AttemptEndedHowReturned
	default:
		end.How = AttemptEndedHowRetried
	}
	return m.with(attempt, "ended", lineOf(&end))
}

func (m Move) with(attempt int64, word string, line []byte) Move {
	name := fmt.Sprintf("attempt_%d_%s", attempt%keptAttempts, word)
	m.Changes = append(slices.Clone(m.Changes), FieldValue{name, line})
	return m
}

// Announced says that the outcome of a task that has ended is published: nobody needs to look at it any more.
func Announced(state TaskRecordState, attempt, announceAt int64) Move {
	expected := append(atAttempt(state, attempt), ofNumber("timeout_at", announceAt))
	return Move{Expected: expected, Changes: []FieldValue{gone("timeout_at")}}
}

func waiting(now, runAt int64) []FieldValue {
	return []FieldValue{
		of("state", TaskRecordStatePending),
		gone("worker"),
		ofNumber("updated_at", now),
		ofNumber("run_at", runAt),
		ofNumber("signalled_at", now),
		ofNumber("timeout_at", max(now, runAt)+SignalPatience.Milliseconds()),
		gone("current_step"),
		gone("step_count"),
		gone("note"),
	}
}

func ended(state TaskRecordState, now, announceAt int64) []FieldValue {
	lookAt := gone("timeout_at")
	if announceAt != 0 {
		lookAt = ofNumber("timeout_at", announceAt)
	}
	return []FieldValue{of("state", state), ofNumber("updated_at", now), ofNumber("finished_at", now), lookAt}
}

func failed(failure string, retryCount int64) []FieldValue {
	return []FieldValue{of("error", shortened(failure)), ofNumber("retry_count", retryCount)}
}

func shortened(text string) string { return cut(text, MaxErrorCharacters) }

// cut keeps so many characters.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "?")
	for count := utf8.RuneCountInString(text); count > most; count-- {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
