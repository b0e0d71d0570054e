package schema

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"gbe/schema/internal/exact"
)

func envelopeOf(t *testing.T, v vector) Envelope {
	t.Helper()
	stated := v.part(t, "envelope")
	envelope := Envelope{
		ID: stated.text(t, "id"), Subject: stated.text(t, "subject"),
		Payload: inBytes(t, stated.members["payload"]),
	}
	stated.into(t, "timestamp", &envelope.Timestamp)
	if stated.has("traceparent") {
		envelope.Traceparent = stated.text(t, "traceparent")
	}
	return envelope
}

func sameEnvelope(t *testing.T, found, wanted Envelope) {
	t.Helper()
	if !bytes.Equal(found.Payload, wanted.Payload) {
		t.Errorf("payload: found %q; expected %q", found.Payload, wanted.Payload)
	}
	found.Payload, wanted.Payload = nil, nil
	if found.ID != wanted.ID || found.Subject != wanted.Subject || found.Timestamp != wanted.Timestamp ||
		found.Traceparent != wanted.Traceparent {
		t.Errorf("found %+v; expected %+v", found, wanted)
	}
}

func runNATS(t *testing.T, v vector) {
	envelope, message := envelopeOf(t, v), v.part(t, "message")
	stated := NATSMessage{Subject: message.text(t, "subject"), Body: inBytes(t, message.members["body"])}
	var pairs [][2]string
	message.into(t, "headers", &pairs)
	for _, pair := range pairs {
		stated.Headers = append(stated.Headers, Header{pair[0], pair[1]})
	}
	if v.text(t, "case") == "publish" {
		var key string
		v.into(t, "idempotency_key", &key)
		found, err := EncodeNATS(envelope, key)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "subject", found.Subject, stated.Subject)
		sameList(t, "headers", found.Headers, stated.Headers)
		sameList(t, "body", found.Body, stated.Body)
	}
	place := struct {
		Sequence uint64
		TimeMS   uint64 `json:"time_ms"`
	}{1, 1}
	if v.has("stored") {
		v.into(t, "stored", &place)
	}
	sameEnvelope(t, DecodeNATS(stated.Subject, stated.HeaderMap(), stated.Body, place.Sequence, place.TimeMS), envelope)
}

func runRedis(t *testing.T, v vector) {
	envelope, stated := envelopeOf(t, v), v.part(t, "entry")
	var fields []RedisField
	items, _ := exact.Items(stated.members["fields"])
	for _, item := range items {
		pair, _ := exact.Items(item)
		fields = append(fields, RedisField{exact.Text(pair[0]), inBytes(t, pair[1])})
	}
	id := "1-1"
	if stated.has("id") {
		id = stated.text(t, "id")
	}
	if v.text(t, "case") == "publish" {
		found, err := EncodeRedis(envelope)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "key", found.Key, stated.text(t, "key"))
		isSame := func(a, b RedisField) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }
		if !slices.EqualFunc(found.Fields, fields, isSame) {
			t.Errorf("fields: found %q; expected %q", found.Fields, fields)
		}
	}
	found, err := DecodeRedis(stated.text(t, "key"), id, fields)
	if err != nil {
		t.Fatal(err)
	}
	sameEnvelope(t, found, envelope)
}

func isValid(t *testing.T, v vector) (is bool) {
	t.Helper()
	v.into(t, "valid", &is)
	return is
}

func runSubject(t *testing.T, v vector) {
	same(t, "valid", CheckSubject(v.text(t, "subject")) == nil, isValid(t, v))
}

func runPattern(t *testing.T, v vector) {
	pattern := v.text(t, "pattern")
	same(t, "valid", CheckPattern(pattern) == nil, isValid(t, v))
	if !isValid(t, v) {
		return
	}
	for name, wanted := range map[string]bool{"matches": true, "does_not_match": false} {
		var subjects []string
		v.into(t, name, &subjects)
		for _, subject := range subjects {
			same(t, subject, Matches(pattern, subject), wanted)
		}
	}
}

func runULID(t *testing.T, v vector) {
	text := v.text(t, "ulid")
	timeMS, randomness, err := ParseULID(text)
	same(t, "valid", err == nil, isValid(t, v))
	same(t, "valid", IsULID(text), isValid(t, v))
	if !isValid(t, v) {
		return
	}
	var wanted uint64
	v.into(t, "time_ms", &wanted)
	same(t, "time", timeMS, wanted)
	same(t, "randomness", hex.EncodeToString(randomness[:]), v.text(t, "randomness"))
	same(t, "again", EncodeULID(timeMS, randomness), text)
}

func runTraceparent(t *testing.T, v vector) {
	same(t, "valid", IsTraceparent(v.text(t, "traceparent")), isValid(t, v))
}

func runTaskIDOfKey(t *testing.T, v vector) {
	same(t, "id", TaskIDOfKey(v.text(t, "task_type"), v.text(t, "idempotency_key")), v.text(t, "task_id"))
}

func runJobIDOfKey(t *testing.T, v vector) {
	same(t, "id", JobIDOfKey(v.text(t, "job_type"), v.text(t, "idempotency_key")), v.text(t, "job_id"))
}

func runTaskIDOfJob(t *testing.T, v vector) {
	var place TaskPlace
	v.into(t, "node", &place.Node)
	v.into(t, "item", &place.Item)
	v.into(t, "run", &place.Run)
	job, task := v.text(t, "job_id"), v.text(t, "task_id")
	same(t, "id", TaskIDOfJob(job, place), task)
	found, isOfJob := PlaceOfTask(job, task)
	same(t, "place", found, place)
	same(t, "of the job", isOfJob, true)
	_, isOfJob = PlaceOfTask(task, task)
	same(t, "of another job", isOfJob, false)
}

func runSubjectKeys(t *testing.T, v vector) {
	keys := KeysOf(v.text(t, "subject"))
	var numbers [3]int
	for place, name := range []string{"slot", "bucket", "mark"} {
		v.into(t, name, &numbers[place])
	}
	same(t, "stream", keys.Stream, v.text(t, "stream"))
	same(t, "numbers", [3]int{keys.Slot(), keys.Bucket(), keys.Mark()}, numbers)
	same(t, "subject", SubjectOf(keys.Stream), keys.Subject)
	found := map[string]string{
		"delayed":  keys.Delayed(),
		"later":    keys.Later(),
		"wake":     keys.Wake(),
		"seen_id":  keys.SeenID(v.text(t, "id")),
		"seen_key": keys.SeenKey(v.text(t, "idempotency_key")),
		"waiting":  keys.Waiting(v.text(t, "group")),
	}
	sameNames(t, found, v.part(t, "companions"))
	for _, key := range found {
		same(t, key, Slot(key), keys.Slot())
	}
}

func sameNames(t *testing.T, found map[string]string, stated vector) {
	t.Helper()
	for name := range stated.members {
		same(t, name, found[name], stated.text(t, name))
	}
	same(t, "names", len(found), len(stated.members))
}

func runStateKeys(t *testing.T, v vector) {
	keys, redis := StateKeys{v.text(t, "store"), v.text(t, "key")}, v.part(t, "redis")
	var bucket, slot int
	redis.into(t, "bucket", &bucket)
	redis.into(t, "slot", &slot)
	same(t, "place", [2]int{keys.Bucket(), keys.Slot()}, [2]int{bucket, slot})
	found := map[string]string{
		"record": keys.Record(), "keys": keys.Keys(), "due": keys.Due(v.text(t, "index")), "ends": keys.Ends(),
		"seq": keys.Seq(), "log": keys.Log(), "changes": keys.ChangesChannel(),
	}
	delete(redis.members, "bucket")
	delete(redis.members, "slot")
	sameNames(t, found, redis)
	var deadline int64
	v.into(t, "deadline", &deadline)
	found = map[string]string{
		"stream": keys.NATSStream(), "record": keys.NATSRecord(),
		"entry": keys.NATSEntry(v.text(t, "index"), deadline),
	}
	sameNames(t, found, v.part(t, "nats"))
}

func runTaskNames(t *testing.T, v vector) {
	names, kind := TaskNames{v.text(t, "namespace")}, v.text(t, "task_type")
	sameNames(t, map[string]string{
		"state_prefix": names.StatePrefix(),
		"queue":        names.Queue(kind, TaskRecordPriorityNormal),
		"queue_high":   names.Queue(kind, TaskRecordPriorityHigh),
		"queue_low":    names.Queue(kind, TaskRecordPriorityLow),
		"progress":     names.Progress(kind),
		"terminal":     names.Terminal(kind),
		"group":        names.Group(kind),
		"record":       names.Record(kind, v.text(t, "task_id")),
		"reply":        names.Reply(v.text(t, "client_id")),
		"dead_letters": names.DeadLetters(),
	}, v.part(t, "names"))
	queue := names.Queue(kind, TaskRecordPriorityNormal)
	if v.has("nats_consumer") { // not in the first release
		same(t, "consumer", NATSConsumer(names.Group(kind), queue), v.text(t, "nats_consumer"))
	}
}

func runJobNames(t *testing.T, v vector) {
	names, kind, job := JobNames{v.text(t, "namespace")}, v.text(t, "job_type"), v.text(t, "job_id")
	var node, chunk int
	v.into(t, "node", &node)
	v.into(t, "chunk", &chunk)
	sameNames(t, map[string]string{
		"created":   names.Event(kind, JobEventStateCreated),
		"completed": names.Event(kind, JobEventStateCompleted),
		"failed":    names.Event(kind, JobEventStateFailed),
		"cancelled": names.Event(kind, JobEventStateCancelled),
		"record":    names.Record(job),
		"plan":      names.Plan(job),
		"items":     names.Items(job, node, chunk),
	}, v.part(t, "names"))
}

func runDeadLetterSubject(t *testing.T, v vector) {
	same(t, "subject", DeadLetterSubject(v.text(t, "subject")), v.text(t, "deadletter"))
}

// arguments of a move, as its vector states them; what is null is the zero value.
type arguments struct {
	Attempt, Now, State  json.RawMessage
	Worker, Error, Trace string
	Reason, Traceparent  string
	TimeoutAt            int64 `json:"timeout_at"`
	RunAt                int64 `json:"run_at"`
	AnnounceAt           int64 `json:"announce_at"`
	MaxRetries           int64 `json:"max_retries"`
	RetryCount           int64 `json:"retry_count"`
	Retention            float64
	Result               json.RawMessage
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

func runMove(t *testing.T, v vector) {
	var a arguments
	v.into(t, "arguments", &a)
	name := v.text(t, "move")
	if v.has("record") {
		runMovedRecord(t, v)
	}
	if name == "resignal" || name == "lose" || name == "expire" {
		return // the sweeper's; its records are read and written as they are
	}
	move := moved(t, name, a, v)
	if v.has("of_job") {
		move = ofJob(t, move, a, v)
	}
	sameFields(t, "expected", move.Expected, v.fields(t, "expected"))
	sameFields(t, "changes", move.Changes, v.fields(t, "changes"))
	same(t, "life", move.TTL, lifeOf(t, v))
}

// ofJob is the same move for a task of a job.
func ofJob(t *testing.T, move Move, a arguments, v vector) Move {
	t.Helper()
	var attempt, now int64
	v.part(t, "arguments").into(t, "attempt", &attempt)
	v.part(t, "arguments").into(t, "now", &now)
	if v.text(t, "move") == "claim" {
		return move.WithStart(attempt+1, now, a.Worker, a.Traceparent)
	}
	return move.WithEnd(attempt, now)
}

// runMovedRecord: as it was and as it is then the record is read and written without loss, and the one is the other
// with the changes.
func runMovedRecord(t *testing.T, v vector) {
	t.Helper()
	before, after := v.record(t, "record"), v.record(t, "after")
	for _, fields := range []map[string][]byte{before, after} {
		again, _, err := rewritten("tasks/record", fields)
		if err != nil || !sameRecord(again, fields) {
			t.Errorf("written again as %q (%v)", again, err)
		}
	}
	write := StateWrite{Move: Move{Expected: v.fields(t, "expected"), Changes: v.fields(t, "changes")}}
	if found, isAsExpected := write.Apply(before); !isAsExpected || !sameRecord(found, after) {
		t.Errorf("after: %q", found)
	}
}

func lifeOf(t *testing.T, v vector) time.Duration {
	t.Helper()
	var life float64
	v.into(t, "ttl", &life)
	return seconds(life)
}

func moved(t *testing.T, name string, a arguments, v vector) Move {
	t.Helper()
	var attempt, now int64
	stated := v.part(t, "arguments")
	if stated.has("attempt") {
		stated.into(t, "attempt", &attempt)
	}
	if stated.has("now") {
		stated.into(t, "now", &now)
	}
	ending := Ending{seconds(a.Retention), a.AnnounceAt}
	switch name {
	case "claim":
		return Claim(attempt, now, Claimant{a.Worker, a.TimeoutAt, a.MaxRetries, a.Trace})
	case "renew":
		return Renew(attempt, now, a.TimeoutAt)
	case "complete":
		return Complete(attempt, now, inBytes(t, a.Result), ending)
	case "fail":
		return Fail(attempt, now, a.RetryCount, a.Error, ending)
	case "retry":
		return Retry(attempt, now, a.RunAt, a.RetryCount, a.Error)
	case "hand_back":
		return HandBack(attempt, now)
	case "cancel", "announce_later":
		return movedRecord(t, name, a, now, v)
	case "announced":
		return Announced(TaskRecordState(exact.Text(a.State)), attempt, a.AnnounceAt)
	}
	t.Fatalf("an unknown move: %s", name)
	return Move{}
}

// movedRecord is a move that looks at the record.
func movedRecord(t *testing.T, name string, a arguments, now int64, v vector) Move {
	t.Helper()
	record, err := ReadTaskRecord(v.record(t, "record"))
	if err != nil {
		t.Fatal(err)
	}
	move, isPossible := AnnounceLater(record, a.AnnounceAt)
	if name == "cancel" {
		move, isPossible = Cancel(record, now, a.Reason, seconds(a.Retention))
	}
	same(t, "possible", isPossible, true)
	if ended, err := ReadTaskRecord(v.record(t, "after")); err != nil {
		t.Error(err)
	} else if _, isPossible := Cancel(ended, now, a.Reason, time.Hour); isPossible {
		t.Error("what has ended is cancelled")
	} else if _, isPossible := AnnounceLater(ended, now); isPossible {
		t.Error("somebody is about to tell already")
	}
	return move
}

func sameFields(t *testing.T, what string, found, wanted []FieldValue) {
	t.Helper()
	isSame := func(one, other FieldValue) bool {
		return one.Name == other.Name && (one.Value == nil) == (other.Value == nil) && bytes.Equal(one.Value, other.Value)
	}
	if !slices.EqualFunc(found, wanted, isSame) {
		t.Errorf("%s: found %q; expected %q", what, found, wanted)
	}
}

func runStateWrite(t *testing.T, v vector) {
	write := StateWrite{
		StateKeys: StateKeys{v.text(t, "store"), v.text(t, "key")},
		Move:      Move{v.fields(t, "expected"), v.fields(t, "changes"), lifeOf(t, v)},
	}
	v.into(t, "indexes", &write.Indexes)
	sameList(t, "indexes", Indexes(), write.Indexes)
	before := v.record(t, "before")
	after, isAsExpected := write.Apply(before)
	if !isAsExpected || !sameRecord(after, v.record(t, "after")) {
		t.Errorf("after: %q", after)
	}
	if _, isAsExpected := write.Apply(after); isAsExpected {
		t.Error("the fence is open: it could be written twice")
	}
	writtenInRedis(t, write, v.part(t, "redis"))
	var entries []string
	v.part(t, "nats").into(t, "entries", &entries)
	same(t, "record", write.NATSRecord(), v.part(t, "nats").text(t, "record"))
	sameList(t, "entries", write.NATSEntries(before), entries)
}

func writtenInRedis(t *testing.T, write StateWrite, stated vector) {
	t.Helper()
	var keys, texts []string
	stated.into(t, "keys", &keys)
	items, _ := exact.Items(stated.members["arguments"])
	for _, item := range items {
		texts = append(texts, string(inBytes(t, item)))
	}
	mark := keys[1][len(write.Tag()+":w:"):]
	foundKeys, foundArguments := write.Redis(mark)
	sameList(t, "keys", foundKeys, keys)
	var found []string
	for _, one := range foundArguments {
		found = append(found, string(one))
	}
	sameList(t, "arguments", found, texts)
}
