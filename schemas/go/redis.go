package schema

import (
	"strconv"
	"strings"
)

// A RedisField is a name and a value of an entry.
type RedisField struct {
	Name  string
	Value []byte
}

// A RedisEntry is an envelope as it lies in a stream of Redis.
type RedisEntry struct {
	// Key is that of the stream.
	Key string
	// Fields are in their order.
	Fields []RedisField
}

// Values returns the fields as XADD takes them: name, value, name, value.
func (e RedisEntry) Values() []any {
	values := make([]any, 0, 2*len(e.Fields))
	for _, field := range e.Fields {
		values = append(values, field.Name, field.Value)
	}
	return values
}

// EncodeRedis binds an envelope to an entry. An error is an *InvalidError.
func EncodeRedis(envelope Envelope) (RedisEntry, error) {
	if err := envelope.Validate(); err != nil {
		return RedisEntry{}, err
	}
	fields := []RedisField{
		{"id", []byte(envelope.ID)},
		{"ts", strconv.AppendUint(nil, envelope.Timestamp, 10)},
	}
	if envelope.Traceparent != "" {
		fields = append(fields, RedisField{"tp", []byte(envelope.Traceparent)})
	}
	fields = append(fields, RedisField{"data", envelope.Payload})
	return RedisEntry{KeysOf(envelope.Subject).Stream, fields}, nil
}

// DecodeRedis reads an envelope back from the stream's key, the entry's id and its fields; of a name that comes twice
// the last one counts. What another program stored without usable fields gets its id and time from the entry's id.
// An error, if that is needed and is none, is an *InvalidError.
func DecodeRedis(key, entryID string, fields []RedisField) (Envelope, error) {
	named := map[string][]byte{}
	for _, field := range fields {
		named[field.Name] = field.Value
	}
	envelope := Envelope{
		ID: string(named["id"]), Subject: SubjectOf(key), Payload: named["data"],
		Traceparent: orNoTraceparent(string(named["tp"])),
	}
	stated, isTime := statedTime(string(named["ts"]))
	if isTime && IsULID(envelope.ID) {
		envelope.Timestamp = stated
		return envelope, nil
	}
	timeMS, minor, err := parseEntryID(entryID)
	envelope.ID, envelope.Timestamp = ulidOfPlace(timeMS, minor), timeMS
	return envelope, err
}

// parseEntryID reads MS-MINOR.
func parseEntryID(id string) (timeMS, minor uint64, err error) {
	major, rest, _ := strings.Cut(id, "-")
	timeMS, err = strconv.ParseUint(major, 10, 64)
	if err == nil {
		minor, err = strconv.ParseUint(rest, 10, 64)
	}
	if err != nil {
		return 0, 0, invalid(ReasonFormat, "", "%s is no entry id", abridged(id))
	}
	return timeMS, minor, nil
}
