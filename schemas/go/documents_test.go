package schema

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestWhatAConstructorMakesIsValid: version, time, id and defaults are those of the schema.
func TestWhatAConstructorMakesIsValid(t *testing.T) {
	task, job := NewULID(), NewULID()
	original := DeadLetterOriginal{ID: task, Subject: "gbe.a", Payload: []byte{}}
	for _, one := range []Document{
		NewPayload(), NewDeadLetter("no", "mirror", 1, original),
		NewAPIError("GET", "/", "no"), NewAPIRequest("GET", "/", 200), NewAuditAccess("ann", "invoice/17"),
		NewAuditChange("ann", "update", "invoice/17"), NewAuditRecord("ann", "bill"), NewAuthFailure("no"),
		NewAuthLogin("ann"), NewAuthLogout("ann"), NewLifecycle("host-1"), NewArchiveReport("host-1", "s3://a"),
		NewSystemDeploy("billing", "1"), NewSystemFault("billing", "no"),
		NewSystemHealth("billing", SystemHealthStatusOK), NewSystemRecord(), NewSweepReport("host-1"),
		NewJobEvent(job, "nightly", JobEventStateCreated), NewJobRecord(job, "nightly"),
		NewNotification(1, NotificationEventMessage), NewTaskOutcome(task, "email", TaskOutcomeStateFailed, 1),
		NewTaskProgress(task, "email", 1, "host-1", 3), NewTaskRecord("email", task, TaskRecordStatePending),
		NewTaskSignal(task, 0, 1),
	} {
		written, err := one.Encode()
		if err != nil {
			t.Errorf("%s: %v", one.Schema(), err)
			continue
		}
		if again, err := DecodeAs(one.Schema(), written); err != nil {
			t.Errorf("%s: %v: %s", one.Schema(), err, written)
		} else if rewritten, _ := again.Encode(); string(rewritten) != string(written) {
			t.Errorf("%s: %s, then %s", one.Schema(), written, rewritten)
		}
	}
	same(t, "default", NewAuditAccess("ann", "invoice/17").Action, "read")
	same(t, "version", NewAuditAccess("ann", "invoice/17").V, AuditAccessVersion)
}

// TestValidateSaysWhere: a value that was put together by hand is checked as one that was read.
func TestValidateSaysWhere(t *testing.T) {
	signal := NewTaskSignal(NewULID(), 0, 1)
	for path, spoil := range map[string]func(*TaskSignal){
		"id":           func(s *TaskSignal) { s.ID = strings.Repeat("😀", 257) },
		"task_id":      func(s *TaskSignal) { s.TaskID = "7" },
		"attempt":      func(s *TaskSignal) { s.Attempt = -1 },
		"max_retries":  func(s *TaskSignal) { s.MaxRetries = Ptr(int64(-1)) },
		"step_timeout": func(s *TaskSignal) { s.StepTimeout = Ptr(-0.5) },
		"reply_to":     func(s *TaskSignal) { s.ReplyTo = Ptr("a..b") },
		"key":          func(s *TaskSignal) { s.Key = Ptr("\xff") },
		"params":       func(s *TaskSignal) { s.Params = json.RawMessage(`{"a":`) },
	} {
		spoilt := signal
		spoil(&spoilt)
		var why *InvalidError
		if err := spoilt.Validate(); !errors.As(err, &why) || why.Path != path {
			t.Errorf("%s: %v", path, err)
		}
		if written, err := spoilt.Encode(); err == nil {
			t.Errorf("%s: it is written: %s", path, written)
		}
		if written, err := json.Marshal(spoilt); err == nil {
			t.Errorf("%s: encoding/json writes it: %s", path, written)
		}
	}
}

// TestTheBoundOnDepth: it is that of the schemas, the same for what is read and what is written.
func TestTheBoundOnDepth(t *testing.T) {
	data, err := os.ReadFile("../json/payload.json")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "bound", string(member(t, data, "x-max-depth")), strconv.Itoa(MaxDepth))
	change := NewAuditChange("ann", "update", "invoice/17")
	for _, levels := range []int{MaxDepth - 1, MaxDepth} {
		change.After = json.RawMessage(strings.Repeat(`{"[\"[":`, levels) + "1" + strings.Repeat("}", levels))
		written, err := change.Encode()
		if levels < MaxDepth {
			if err == nil {
				_, err = DecodeAuditChange(written)
			}
			if err != nil {
				t.Errorf("%d levels: %v", levels, err)
			}
			continue
		}
		var why *InvalidError
		if !errors.As(err, &why) || why.Reason != ReasonSyntax || why.Path != "" {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}

// TestEncodingJSONReadsTheSame: the usual functions are as strict.
func TestEncodingJSONReadsTheSame(t *testing.T) {
	var payload Payload
	if err := json.Unmarshal([]byte(`{"v":1,"ts":1,"ID":"a"}`), &payload); err == nil {
		t.Errorf("the case of a name is folded: %+v", payload)
	}
	if err := json.Unmarshal([]byte(`{"v":1,"ts":1,"id":"a","id":"b"}`), &payload); err != nil || payload.ID != "b" {
		t.Errorf("of a name that comes twice the last one counts: %+v, %v", payload, err)
	}
}

// TestTheMostExactPatternCounts: of several schemas that cover a subject.
func TestTheMostExactPatternCounts(t *testing.T) {
	payload := []byte(`{"v":1,"ts":1,"id":"a","actor":"ann","action":"x","target":"y","source":"z","error":"e"}`)
	for subject, schema := range map[string]string{
		"gbe.events.audit.change":   "events/audit-change",
		"gbe.events.audit.billing":  "events/audit-record",
		"gbe.events.system.error":   "events/system-error",
		"gbe.events.system.other":   "events/system-record",
		"gbe.orders.placed":         "payload",
		"other.events.audit.change": "payload",
	} {
		document, err := DecodeBySubject("gbe", subject, payload)
		if err != nil {
			t.Errorf("%s: %v", subject, err)
			continue
		}
		same(t, subject, document.Schema(), schema)
	}
	same(t, "a word before *", isMoreExact("a.*.b", "*.a.b"), true)
	same(t, "* before >", isMoreExact("a.>", "a.*"), false)
}

// TestULIDsRise: also those of one millisecond, and none is given twice.
func TestULIDsRise(t *testing.T) {
	before := NewULID()
	for range 10_000 {
		next := NewULID()
		if next <= before || !IsULID(next) {
			t.Fatalf("%s behind %s", next, before)
		}
		before = next
	}
	timeMS, _, err := ParseULID(before)
	if age := time.Since(time.UnixMilli(int64(timeMS))); err != nil || age < -time.Minute || age > time.Minute {
		t.Errorf("of %v ago: %v", age, err)
	}
}

// TestTheEnvelopeIsThatOfItsSchema: it is written by hand, so its limits are compared.
func TestTheEnvelopeIsThatOfItsSchema(t *testing.T) {
	declared := properties(t, "envelope")
	sameList(t, "fields", sortedNames(declared), []string{"id", "payload", "subject", "timestamp", "traceparent"})
	same(t, "id", string(member(t, declared["id"], "pattern")), `"`+ulidForm.String()+`"`)
	same(t, "timestamp", string(member(t, declared["timestamp"], "maximum")), "9999999999999999")
	same(t, "timestamp", MaxTimestamp, 9999999999999999)
	same(t, "subject", string(member(t, declared["subject"], "maxLength")), "255")
	for path, spoil := range map[string]func(*Envelope){
		"id":          func(e *Envelope) { e.ID = "x" },
		"subject":     func(e *Envelope) { e.Subject = "gbe.*" },
		"timestamp":   func(e *Envelope) { e.Timestamp = MaxTimestamp + 1 },
		"traceparent": func(e *Envelope) { e.Traceparent = "00-a\r\nGbe-Id: x" },
	} {
		envelope := NewEnvelope("gbe.a", nil)
		spoil(&envelope)
		var why *InvalidError
		if _, err := EncodeNATS(envelope, ""); !errors.As(err, &why) || why.Path != path {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := EncodeRedis(envelope); !errors.As(err, &why) || why.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func sortedNames(named map[string]json.RawMessage) []string {
	var names []string
	for name := range named {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// TestAKeyHoldsNoLineBreak: it stands in a header.
func TestAKeyHoldsNoLineBreak(t *testing.T) {
	for _, key := range []string{"a\r\nGbe-Id: x", "é", strings.Repeat("a", 129)} {
		if message, err := EncodeNATS(NewEnvelope("gbe.a", nil), key); err == nil {
			t.Errorf("%q: %v", key, message.Headers)
		}
	}
}

// TestTheLifeOfARecordInNATS: whole seconds, rounded up, and the end in milliseconds; or what was read.
func TestTheLifeOfARecordInNATS(t *testing.T) {
	write := StateWrite{Move: Move{TTL: 1500 * time.Millisecond}}
	found := NATSMessage{Headers: write.NATSHeaders(7, "w-1", 0)}.HeaderMap()
	same(t, "sequence", last(found[HeaderExpectedSequence]), "7")
	same(t, "mark", last(found[HeaderMessageID]), "w-1")
	same(t, "life", last(found[HeaderTTL]), "2")
	write.TTL = 0
	same(t, "no life", len(write.NATSHeaders(7, "w-1", 0)), 2)
	ends := time.Now().Add(time.Hour).UnixMilli()
	kept, _ := parseDeadline([]byte(last(NATSMessage{Headers: write.NATSHeaders(7, "w-1", ends)}.HeaderMap()[HeaderExpires])))
	same(t, "the end that it had", kept, ends)
}

// TestLongErrorsAreCut: by characters, never within one.
func TestLongErrorsAreCut(t *testing.T) {
	move := Fail(1, 2, 3, strings.Repeat("é", MaxErrorCharacters+1)+"\xff", Ending{Retention: time.Hour})
	for _, field := range move.Changes {
		if field.Name == "error" {
			same(t, "error", string(field.Value), strings.Repeat("é", MaxErrorCharacters))
		}
	}
}

// TestTheConsumerOfAGroup: as gbe names it.
func TestTheConsumerOfAGroup(t *testing.T) {
	same(t, "name", NATSConsumer("email-send-workers", "gbe.tasks.email-send.queue"), "email-send-workers-99f05b78db0d")
}

// TestHashes: against the appendix of RFC 7693 and the example of the cluster specification.
func TestHashes(t *testing.T) {
	const abc = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
	same(t, "blake2b", hex.EncodeToString(blakeB.sum([]byte("abc"), 64)), abc)
	const abcS = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"
	same(t, "blake2s", hex.EncodeToString(blakeS.sum([]byte("abc"), 32)), abcS)
	// of Python's hashlib: a whole number of blocks
	blocks := []byte(strings.Repeat("a", 256))
	same(t, "blocks", hex.EncodeToString(blakeB.sum(blocks, 16)), "2dbe331c95d600bb74dcd669f0618bd7")
	same(t, "blocks", hex.EncodeToString(blakeS.sum(blocks, 16)), "9664e20cd058de77a0789255533309f4")
	same(t, "slot", Slot("123456789"), 0x31C3)
	same(t, "tag", Slot("{a}b"), Slot("a"))
	same(t, "no tag", Slot("{}a") == Slot(""), false)
}
