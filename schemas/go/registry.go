package schema

import (
	"strings"
	"time"
)

// A Document is a payload or a record: one of the generated types.
type Document interface {
	// Schema returns the name of its schema, such as events/audit-change.
	Schema() string
	// Validate reports the first field that does not fit, as an *InvalidError.
	Validate() error
	// Encode writes it as JSON, if it is valid.
	Encode() ([]byte, error)
}

type entry struct {
	schema   string
	subjects []string // patterns, without the namespace
	decode   func([]byte) (Document, error)
}

// Schemas returns the names of all schemas that have a type here.
func Schemas() []string {
	names := make([]string, len(registry))
	for number, one := range registry {
		names[number] = one.schema
	}
	return names
}

// DecodeAs reads the JSON of a schema; the document is a value of the schema's type, such as AuditChange.
// An error is an *InvalidError.
func DecodeAs(schema string, data []byte) (Document, error) {
	for _, one := range registry {
		if one.schema == schema {
			return one.decode(data)
		}
	}
	return nil, invalid(ReasonEnum, "", "no schema is named %s", abridged(schema))
}

// DecodeBySubject reads a payload by the subject of its message. Of several schemas that cover a subject the most exact
// pattern counts; what none covers is read as a Payload. An error is an *InvalidError.
func DecodeBySubject(namespace, subject string, data []byte) (Document, error) {
	name, isOurs := strings.CutPrefix(subject, namespace+".")
	best, pattern := "payload", ">"
	for _, one := range registry {
		for _, covered := range one.subjects {
			if isOurs && Matches(covered, name) && isMoreExact(covered, pattern) {
				best, pattern = one.schema, covered
			}
		}
	}
	return DecodeAs(best, data)
}

// isMoreExact compares patterns that cover the same subject: the first token in which they differ decides, a word is
// more exact than *, and that more than >.
func isMoreExact(pattern, other string) bool {
	ours, theirs := strings.Split(pattern, "."), strings.Split(other, ".")
	for place := range min(len(ours), len(theirs)) {
		if ours[place] != theirs[place] {
			return vagueness(ours[place]) < vagueness(theirs[place])
		}
	}
	return len(ours) > len(theirs)
}

func vagueness(token string) int { return 1 + strings.Index("*>", token) }

// now is the time as payloads have it, unix milliseconds.
func now() int64 { return time.Now().UnixMilli() }

// Ptr points to a value: for fields that may be absent.
func Ptr[T any](value T) *T { return &value }
