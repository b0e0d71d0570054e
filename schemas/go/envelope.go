package schema

import (
	"regexp"
	"strconv"
	"strings"
)

// MaxTimestamp is the latest moment that a publisher can state: 16 digits.
const MaxTimestamp = 9_999_999_999_999_999

// An Envelope is one message as the transport knows it.
type Envelope struct {
	// ID is a ULID.
	ID string
	// Subject is where it was published.
	Subject string
	// Timestamp is when it was published, unix milliseconds. What another program stored under an entry id of its own
	// may lie beyond MaxTimestamp.
	Timestamp uint64
	// Payload is opaque.
	Payload []byte
	// Traceparent is a W3C trace context, empty if there is none.
	Traceparent string
}

// NewEnvelope makes the envelope of a payload that is published now.
func NewEnvelope(subject string, payload []byte) Envelope {
	return Envelope{ID: NewULID(), Subject: subject, Timestamp: uint64(max(0, now())), Payload: payload}
}

// Validate reports the first field that does not fit, as an *InvalidError.
func (e Envelope) Validate() error {
	switch {
	case !IsULID(e.ID):
		return invalid(ReasonFormat, "id", "%s is no ULID", abridged(e.ID))
	case e.Timestamp > MaxTimestamp:
		return invalid(ReasonBound, "timestamp", "%d has more than 16 digits", e.Timestamp)
	case e.Traceparent != "" && !IsTraceparent(e.Traceparent):
		return invalid(ReasonFormat, "traceparent", "%s is no W3C traceparent", abridged(e.Traceparent))
	}
	return CheckSubject(e.Subject)
}

var traceparentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// IsTraceparent says whether a text is a traceparent (W3C Trace Context, section 3.2.2): version ff and ids of zeros
// are none.
func IsTraceparent(text string) bool {
	return traceparentForm.MatchString(text) && !strings.HasPrefix(text, "ff") &&
		strings.Trim(text[3:35], "0") != "" && strings.Trim(text[36:52], "0") != ""
}

// CheckIdempotencyKey reports why a text is no idempotency key: 1 to 128 printable ASCII characters.
func CheckIdempotencyKey(key string) error {
	if key == "" || len(key) > 128 {
		return invalid(ReasonBound, "idempotency_key", "expected 1 to 128 characters, not %d", len(key))
	}
	for _, letter := range []byte(key) {
		if letter < ' ' || letter > '~' {
			return invalid(ReasonFormat, "idempotency_key", "%s: expected printable ASCII characters", abridged(key))
		}
	}
	return nil
}

// statedTime reads the timestamp that a publisher states: at most 16 digits.
func statedTime(text string) (uint64, bool) {
	if len(text) > 16 {
		return 0, false
	}
	value, err := strconv.ParseUint(text, 10, 64)
	return value, err == nil
}

func orNoTraceparent(text string) string {
	if IsTraceparent(text) {
		return text
	}
	return ""
}
