package schema

import (
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gbe/schema/internal/exact"
)

// A vector is a golden case, its members as the file has them.
type vector struct {
	file    string
	members map[string]json.RawMessage
}

// sets are the folders of vectors: what stands now, and every release.
func sets(t testing.TB) []string {
	released, err := filepath.Glob("../released/*/vectors")
	if err != nil || len(released) == 0 {
		t.Fatalf("no release in ../released: %v", err)
	}
	return append([]string{"../vectors"}, released...)
}

func readVectors(t testing.TB, set string) []vector {
	var found []vector
	err := filepath.WalkDir(set, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".json" {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		found = append(found, newVector(t, strings.TrimPrefix(file, set+"/"), data))
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %d vectors, %v", set, len(found), err)
	}
	return found
}

func newVector(t testing.TB, file string, data []byte) vector {
	if err := exact.Check(data); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	members, isObject := exact.Members(data)
	if !isObject {
		t.Fatalf("%s: no object", file)
	}
	return vector{file, namedMembers(members)}
}

func namedMembers(members []exact.Member) map[string]json.RawMessage {
	named := map[string]json.RawMessage{}
	for _, member := range members {
		named[member.Name] = member.Value
	}
	return named
}

func (v vector) has(name string) bool { return v.members[name] != nil }

// into reads a member; one that is missing is a mistake of the vector or of its runner.
func (v vector) into(t testing.TB, name string, value any) {
	t.Helper()
	if err := json.Unmarshal(v.members[name], value); err != nil {
		t.Fatalf("%s: %s: %v", v.file, name, err)
	}
}

func (v vector) text(t testing.TB, name string) (text string) {
	t.Helper()
	v.into(t, name, &text)
	return text
}

func (v vector) part(t testing.TB, name string) vector {
	t.Helper()
	return newVector(t, v.file+"/"+name, v.members[name])
}

// inBytes reads {"text": …} or {"base64": …}; null is nil.
func inBytes(t testing.TB, raw []byte) []byte {
	t.Helper()
	if string(raw) == "null" {
		return nil
	}
	one := newVector(t, "bytes", raw)
	if one.has("text") {
		return []byte(one.text(t, "text"))
	}
	value, err := base64.StdEncoding.DecodeString(one.text(t, "base64"))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// fields reads a map of name to bytes in its order.
func (v vector) fields(t testing.TB, name string) (fields []FieldValue) {
	t.Helper()
	members, isObject := exact.Members(v.members[name])
	if !isObject {
		t.Fatalf("%s: %s is no object", v.file, name)
	}
	for _, member := range members {
		fields = append(fields, FieldValue{member.Name, inBytes(t, member.Value)})
	}
	return fields
}

func (v vector) record(t testing.TB, name string) map[string][]byte {
	t.Helper()
	record := map[string][]byte{}
	for _, field := range v.fields(t, name) {
		record[field.Name] = field.Value
	}
	return record
}

// payload is the document as it stands in the file, byte by byte.
func (v vector) payload(t testing.TB) []byte {
	t.Helper()
	if v.has("json") {
		return v.members["json"]
	}
	return inBytes(t, vectorBody(v))
}

func vectorBody(v vector) []byte {
	for _, name := range []string{"text", "base64"} {
		if v.has(name) {
			return []byte(`{"` + name + `":` + string(v.members[name]) + "}")
		}
	}
	return []byte("{}")
}

var runners = map[string]func(*testing.T, vector){
	"payload":            runPayload,
	"record":             runRecord,
	"nats-message":       runNATS,
	"redis-entry":        runRedis,
	"subject":            runSubject,
	"pattern":            runPattern,
	"ulid":               runULID,
	"traceparent":        runTraceparent,
	"task-id-of-key":     runTaskIDOfKey,
	"job-id-of-key":      runJobIDOfKey,
	"task-id-of-job":     runTaskIDOfJob,
	"subject-keys":       runSubjectKeys,
	"state-keys":         runStateKeys,
	"task-names":         runTaskNames,
	"job-names":          runJobNames,
	"deadletter-subject": runDeadLetterSubject,
	"move":               runMove,
	"state-write":        runStateWrite,
}

// TestVectors runs every golden case of the contract, and of every release of it.
func TestVectors(t *testing.T) {
	for _, set := range sets(t) {
		seen := map[string]bool{}
		for _, one := range readVectors(t, set) {
			kind := one.text(t, "kind")
			seen[kind] = true
			t.Run(filepath.Join(set, one.file), func(t *testing.T) {
				run, isKnown := runners[kind]
				if !isKnown {
					t.Fatalf("a vector of an unknown kind: %q", kind)
				}
				run(t, one)
			})
		}
		for kind := range runners {
			if !seen[kind] && set == "../vectors" {
				t.Errorf("no vector of kind %s", kind)
			}
		}
	}
}

// TestEverySchemaHasAVector: what nothing proves is not there.
func TestEverySchemaHasAVector(t *testing.T) {
	seen := map[string]bool{}
	for _, one := range readVectors(t, "../vectors") {
		if kind := one.text(t, "kind"); kind == "payload" || kind == "record" {
			seen[one.text(t, "schema")] = true
		}
	}
	for _, schema := range Schemas() {
		if !seen[schema] {
			t.Errorf("no vector of %s", schema)
		}
	}
}

func sameList[T comparable](t *testing.T, what string, found, wanted []T) {
	t.Helper()
	if !slices.Equal(found, wanted) {
		t.Errorf("%s: found %v; expected %v", what, found, wanted)
	}
}

func same[T comparable](t *testing.T, what string, found, wanted T) {
	t.Helper()
	if found != wanted {
		t.Errorf("%s: found %v; expected %v", what, found, wanted)
	}
}
