package schema

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxRecordFields is how many fields a record has at most.
	MaxRecordFields = 256
	// MaxRecordBytes is how much the names and values of a record's fields are at most.
	MaxRecordBytes = 262144
	// WriteMarkLife is how long a write in Redis is remembered, so that a repetition is not applied twice.
	WriteMarkLife = time.Minute
)

// The headers of a record's message in NATS.
const (
	HeaderExpectedSequence = "Nats-Expected-Last-Subject-Sequence"
	HeaderTTL              = "Nats-TTL"
	HeaderExpires          = "Gbe-Expires"
)

// Indexes are the fields of records that are deadlines.
func Indexes() []string { return []string{"timeout_at", "fire_at", "look_at"} }

// A StateWrite is a conditional write of one record, such as a Move.
type StateWrite struct {
	StateKeys
	Move
	// Indexes are the fields that are deadlines; see Indexes.
	Indexes []string
}

// Apply returns what becomes of a record, and whether it was as expected; before stays as it is.
func (w StateWrite) Apply(before map[string][]byte) (map[string][]byte, bool) {
	for _, field := range w.Expected {
		value, isThere := before[field.Name]
		if isThere != (field.Value != nil) || !bytes.Equal(value, field.Value) {
			return nil, false
		}
	}
	after := make(map[string][]byte, len(before)+len(w.Changes))
	for name, value := range before {
		after[name] = value
	}
	for _, field := range w.Changes {
		if field.Value == nil {
			delete(after, field.Name)
		} else {
			after[field.Name] = field.Value
		}
	}
	return after, true
}

// Redis returns the keys and arguments of RedisWriteScript. The mark is a text that no other write has; a repetition
// with the same one is not applied twice. The script answers 1 if it is written, 0 if the record is not as expected.
func (w StateWrite) Redis(mark string) (keys []string, arguments [][]byte) {
	life := "-1"
	if w.TTL != 0 {
		life = strconv.FormatInt(max(1, w.TTL.Milliseconds()), 10)
	}
	texts := []string{
		w.Tag(), w.Key, strings.Join(w.Indexes, " "), "set", life,
		strconv.FormatInt(WriteMarkLife.Milliseconds(), 10),
		strconv.Itoa(MaxRecordFields), strconv.Itoa(MaxRecordBytes),
		strconv.Itoa(len(w.Expected)), strconv.Itoa(len(w.Changes)),
	}
	for _, one := range texts {
		arguments = append(arguments, []byte(one))
	}
	arguments = appendTriples(arguments, w.Expected)
	return []string{w.Record(), w.Tag() + ":w:" + mark}, appendTriples(arguments, w.Changes)
}

func appendTriples(arguments [][]byte, fields []FieldValue) [][]byte {
	for _, field := range fields {
		isThere := "1"
		if field.Value == nil {
			isThere = "0"
		}
		arguments = append(arguments, []byte(field.Name), []byte(isThere), append([]byte{}, field.Value...))
	}
	return arguments
}

// NATSEntries returns the subjects to which an empty message goes ahead of the record, and is confirmed: one for each
// deadline that is new, or earlier than before. Between the reading of before and the write nobody may have written.
func (w StateWrite) NATSEntries(before map[string][]byte) []string {
	var entries []string
	for _, index := range w.Indexes {
		deadline, isChanged := w.deadline(index)
		old, isThere := parseDeadline(before[index])
		if isChanged && !(isThere && old <= deadline) {
			entries = append(entries, w.NATSEntry(index, deadline))
		}
	}
	return entries
}

func (w StateWrite) deadline(index string) (int64, bool) {
	for _, field := range w.Changes {
		if field.Name == index {
			return parseDeadline(field.Value)
		}
	}
	return 0, false
}

func parseDeadline(value []byte) (int64, bool) {
	deadline, err := strconv.ParseInt(string(value), 10, 64)
	return deadline, err == nil
}

// NATSHeaders returns the headers of the record's message. The sequence is that of the message that was read, 0 if
// there was none: somebody else's write makes the engine refuse this one (error codes 10071 and 10164). The mark is a
// text that no other write has. Expires is the Gbe-Expires of the message that was read in unix milliseconds, 0 if it
// has none; it counts if the write keeps the record's life.
func (w StateWrite) NATSHeaders(sequence uint64, mark string, expires int64) []Header {
	headers := []Header{
		{HeaderExpectedSequence, strconv.FormatUint(sequence, 10)},
		{HeaderMessageID, mark},
	}
	moment := now()
	if w.TTL != 0 {
		expires = moment + max(1, w.TTL.Milliseconds())
	}
	if expires == 0 {
		return headers
	}
	seconds := max(1, int64(math.Ceil(float64(expires-moment)/1000)))
	return append(headers, Header{HeaderTTL, strconv.FormatInt(seconds, 10)}, Header{HeaderExpires, strconv.FormatInt(expires, 10)})
}
