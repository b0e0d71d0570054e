package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"

	"gbe/schema/internal/exact"
)

func runPayload(t *testing.T, v vector) {
	schema, payload := v.text(t, "schema"), v.payload(t)
	document, err := DecodeAs(schema, payload)
	if v.text(t, "case") == "invalid" {
		refused(t, v, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := document.Encode()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "schema", document.Schema(), schema)
	encoded := v.members["encoded"]
	if v.has("encoded_text") {
		encoded = []byte(v.text(t, "encoded_text"))
	}
	sameMeaning(t, schema, again, encoded)
	marshalled, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	sameMeaning(t, schema, marshalled, encoded)
}

func refused(t *testing.T, v vector, err error) {
	t.Helper()
	var why *InvalidError
	if !errors.As(err, &why) {
		t.Fatalf("it is not refused: %v", err)
	}
	same(t, "reason", string(why.Reason), v.text(t, "reason"))
	same(t, "path", why.Path, v.text(t, "path"))
}

func runRecord(t *testing.T, v vector) {
	schema, fields := v.text(t, "schema"), v.record(t, "fields")
	again, document, err := rewritten(schema, fields)
	body := EncodeRecord(fields)
	if unpacked, err := DecodeRecord(body); err != nil || !sameRecord(unpacked, fields) {
		t.Fatalf("in NATS: %v, %v", unpacked, err)
	}
	if v.text(t, "case") == "invalid" {
		refused(t, v, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	meaning, err := document.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sameMeaning(t, schema, meaning, v.members["record"])
	stated := v.part(t, "record").members
	for name, value := range fields {
		written, isKnown := again[name]
		if isKnown && !bytes.Equal(written, value) {
			t.Errorf("%s: written as %q; expected %q", name, written, value)
		}
		_, isDeclared := properties(t, schema)[name]
		if isMeant := isDeclared || stated[name] != nil; isKnown != isMeant {
			t.Errorf("%s: written: %v; in schema or vector: %v", name, isKnown, isMeant)
		}
	}
}

// rewritten reads a record, and writes it again.
func rewritten(schema string, fields map[string][]byte) (map[string][]byte, Document, error) {
	if schema == "tasks/record" {
		record, err := ReadTaskRecord(fields)
		if err != nil {
			return nil, nil, err
		}
		again, err := record.Fields()
		return again, record, err
	}
	record, err := ReadJobRecord(fields)
	if err != nil {
		return nil, nil, err
	}
	again, err := record.Fields()
	return again, record, err
}

func sameRecord(one, other map[string][]byte) bool {
	for name := range one {
		if value, isThere := other[name]; !isThere || !bytes.Equal(one[name], value) {
			return false
		}
	}
	return len(one) == len(other)
}

func properties(t *testing.T, schema string) map[string]json.RawMessage {
	t.Helper()
	data, err := os.ReadFile("../json/" + schema + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return newVector(t, schema, data).part(t, "properties").members
}

// sameMeaning compares JSON documents as values, without declared fields that have their default.
func sameMeaning(t *testing.T, schema string, found, wanted []byte) {
	t.Helper()
	data, err := os.ReadFile("../json/" + schema + ".json")
	if err != nil {
		t.Fatal(err)
	}
	one, other := meaning(t, found, data), meaning(t, wanted, data)
	if one != other {
		t.Errorf("it means\n%s; expected\n%s", one, other)
	}
}

// meaning writes a value in the one way there is: without defaults, names sorted, numbers exact.
func meaning(t *testing.T, raw, schema []byte) string {
	t.Helper()
	if err := exact.Check(raw); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	members, isObject := exact.Members(raw)
	items, isList := exact.Items(raw)
	switch {
	case isObject:
		return meaningOfObject(t, members, schema)
	case isList:
		texts := make([]string, len(items))
		for number, item := range items {
			texts[number] = meaning(t, item, member(t, schema, "items"))
		}
		return "[" + strings.Join(texts, ",") + "]"
	case raw[0] == '"':
		text, _ := json.Marshal(exact.Text(raw))
		return string(text)
	}
	if number, isNumber := new(big.Rat).SetString(string(raw)); isNumber {
		return number.RatString()
	}
	return string(raw)
}

func meaningOfObject(t *testing.T, members []exact.Member, schema []byte) string {
	t.Helper()
	kept := map[string]string{}
	for name, value := range namedMembers(members) {
		declared := member(t, member(t, schema, "properties"), name)
		text := meaning(t, value, declared)
		if missing := member(t, declared, "default"); missing == nil || text != meaning(t, missing, nil) {
			kept[name] = text
		}
	}
	text, err := json.Marshal(kept) // sorted by name
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func member(t *testing.T, raw []byte, name string) []byte {
	t.Helper()
	if raw == nil {
		return nil
	}
	members, _ := exact.Members(raw)
	return namedMembers(members)[name]
}
