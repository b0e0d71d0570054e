package schema

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"gbe/schema/internal/exact"
)

// Seeds are the vectors. Whatever the bytes are, there is a value or an error of ours, never a panic.

func isOurs(t *testing.T, err error) bool {
	t.Helper()
	var why *InvalidError
	if err != nil && (!errors.As(err, &why) || why.Reason == "" || why.Detail == "") {
		t.Fatalf("not an error of ours: %#v", err)
	}
	return err != nil
}

func FuzzPayload(f *testing.F) {
	schemas := Schemas()
	for _, one := range readVectors(f, "../vectors") {
		if one.text(f, "kind") == "payload" {
			f.Add(one.text(f, "schema"), one.payload(f))
		}
	}
	f.Add("payload", []byte(strings.Repeat("[", 100_000)))
	f.Add("payload", []byte(`{"v":`+strings.Repeat(`{"v":`, 100_000)))
	f.Fuzz(func(t *testing.T, schema string, data []byte) {
		if !slices.Contains(schemas, schema) {
			schema = schemas[len(schema)%len(schemas)]
		}
		document, err := DecodeAs(schema, data)
		if isOurs(t, err) {
			return
		}
		written, err := document.Encode()
		if err != nil {
			t.Fatalf("what is read cannot be written: %v", err)
		}
		again, err := DecodeAs(schema, written)
		if err != nil {
			t.Fatalf("what is written cannot be read: %v: %s", err, written)
		}
		if rewritten, err := again.Encode(); err != nil || !bytes.Equal(written, rewritten) {
			t.Fatalf("written as\n%s, then as\n%s (%v)", written, rewritten, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, one := range readVectors(f, "../vectors") {
		if one.text(f, "kind") == "record" {
			f.Add(EncodeRecord(one.record(f, "fields")))
		}
	}
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xdb, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xa1, 'a', 0xc6, 0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		fields, err := DecodeRecord(body)
		if isOurs(t, err) {
			return
		}
		if again, err := DecodeRecord(EncodeRecord(fields)); err != nil || !sameRecord(again, fields) {
			t.Fatalf("written and read again: %q (%v)", again, err)
		}
		for _, schema := range []string{"tasks/record", "jobs/record"} {
			written, _, err := rewritten(schema, fields)
			if isOurs(t, err) {
				continue
			}
			again, _, err := rewritten(schema, written)
			if err != nil || !sameRecord(again, written) {
				t.Fatalf("written as %q, then as %q (%v)", written, again, err)
			}
		}
	})
}

func FuzzNATS(f *testing.F) {
	f.Add("g", "01M8A2XBX214ZQTHTJFHP02E9D", "5", "", []byte("{}"), uint64(1), uint64(1))
	f.Add("g", "\xff", "-1", "garbage", []byte(nil), ^uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, subject, id, timestamp, trace string, body []byte, sequence, storedMS uint64) {
		headers := map[string][]string{HeaderID: {id}, HeaderTimestamp: {timestamp}, HeaderTraceparent: {trace}}
		envelope := DecodeNATS(subject, headers, body, sequence, storedMS)
		if !IsULID(envelope.ID) {
			t.Fatalf("no id: %+v", envelope)
		}
		message, err := EncodeNATS(envelope, "")
		if isOurs(t, err) {
			return
		}
		sameEnvelope(t, DecodeNATS(message.Subject, message.HeaderMap(), message.Body, 0, 0), envelope)
	})
}

func FuzzRedis(f *testing.F) {
	f.Add("g", "1-1", []byte("01M8A2XBX214ZQTHTJFHP02E9D"), []byte("5"), []byte(nil), []byte("{}"))
	f.Add("g:a", "18446744073709551615-18446744073709551615", []byte("\xff"), []byte("-1"), []byte("garbage"), []byte(nil))
	f.Fuzz(func(t *testing.T, key, id string, name, timestamp, trace, data []byte) {
		fields := []RedisField{{"id", name}, {"ts", timestamp}, {"tp", trace}, {"data", data}}
		envelope, err := DecodeRedis(key, id, fields)
		if isOurs(t, err) {
			return
		}
		entry, err := EncodeRedis(envelope)
		if isOurs(t, err) {
			return
		}
		again, err := DecodeRedis(entry.Key, "", entry.Fields)
		if err != nil {
			t.Fatal(err)
		}
		sameEnvelope(t, again, envelope)
	})
}

func FuzzNames(f *testing.F) {
	for _, one := range readVectors(f, "../vectors") {
		switch kind := one.text(f, "kind"); kind {
		case "subject", "pattern", "ulid", "traceparent":
			f.Add(one.text(f, kind), "gbe.a.b")
		}
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		isSubject := !isOurs(t, CheckSubject(text))
		isPattern := !isOurs(t, CheckPattern(text))
		if isSubject && !isPattern {
			t.Fatal("a subject is a pattern, too")
		}
		if isPattern && CheckSubject(other) == nil {
			Matches(text, other)
		}
		if isSubject {
			same(t, "subject", SubjectOf(KeysOf(text).Stream), text)
			same(t, "slot", Slot(KeysOf(text).Wake()), KeysOf(text).Slot())
		}
		if timeMS, randomness, err := ParseULID(text); !isOurs(t, err) {
			same(t, "ulid", EncodeULID(timeMS, randomness), text)
		}
		IsTraceparent(text)
		PlaceOfTask(text, other)
		Slot(text)
	})
}

// FuzzExact: what is accepted can be taken apart to the last value.
func FuzzExact(f *testing.F) {
	for _, text := range []string{`{"a":[1,"\ud83d\ude00",{"b":null}]}`, ` [ ] `, `"\\\u005c"`, `"\ud800\ud800"`, `{"a" : {} , "a" : 1e9}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if exact.Check(data) == nil {
			meaning(t, bytes.TrimSpace(data), nil)
		}
	})
}
