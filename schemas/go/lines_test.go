package schema

import (
	"strings"
	"testing"
)

// TestAttemptsAreRecordsAndJSON: what is read of lines is the same in JSON, and is checked when it is written.
func TestAttemptsAreRecordsAndJSON(t *testing.T) {
	fields := map[string][]byte{
		"task_type": []byte("email"), "task_id": []byte(NewULID()), "state": []byte("running"),
		"attempt_1_started": []byte("1 7 host -"), "attempt_1_ended": []byte("1 8 retried a  b"),
	}
	record, err := ReadTaskRecord(fields)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "worker", record.AttemptStarted["attempt_1_started"].Worker, "host")
	same(t, "error", *record.AttemptEnded["attempt_1_ended"].Error, "a  b")
	document, err := record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeTaskRecord(document)
	if err != nil {
		t.Fatal(err)
	}
	written, err := again.Fields()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		same(t, name, string(written[name]), string(value))
	}
	for path, spoil := range map[string]func(*TaskRecord){
		"attempt_1_started.worker":  func(r *TaskRecord) { r.AttemptStarted["attempt_1_started"] = AttemptStarted{Attempt: 1} },
		"attempt_2_started.attempt": func(r *TaskRecord) { r.AttemptStarted["attempt_2_started"] = AttemptStarted{Worker: "w"} },
		"attempt_1_ended.how":       func(r *TaskRecord) { r.AttemptEnded["attempt_1_ended"] = AttemptEnded{Attempt: 1} },
		"attempt_32_started":        func(r *TaskRecord) { r.AttemptStarted["attempt_32_started"] = AttemptStarted{1, 1, "w", nil} },
	} {
		spoilt, err := ReadTaskRecord(fields)
		if err != nil {
			t.Fatal(err)
		}
		spoil(&spoilt)
		if err := spoilt.Validate(); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v", path, err)
		}
	}
	_, err = DecodeTaskRecord([]byte(strings.Replace(string(document), `"how":"retried"`, `"how":"paused"`, 1)))
	if err == nil || !strings.HasPrefix(err.Error(), "attempt_1_ended.how: enum: ") {
		t.Errorf("in JSON it is an object like any other: %v", err)
	}
}

// FuzzLines: what is read of a line is written as the same, whatever stands between.
func FuzzLines(f *testing.F) {
	for _, line := range []string{"1 2 w -", "1 2 failed a b", "1 2 returned ", "9223372036854775807 0 completed -", "01 2 w ", " ", ""} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var start AttemptStarted
		if readLine(line, &start) {
			again := AttemptStarted{}
			if !readLine(lineOf(&start), &again) || string(lineOf(&again)) != string(lineOf(&start)) || check(&again, "") != nil {
				t.Fatalf("read as %+v, then as %+v", start, again)
			}
		}
		var end AttemptEnded
		if readLine(line, &end) {
			again := AttemptEnded{}
			if !readLine(lineOf(&end), &again) || string(lineOf(&again)) != string(lineOf(&end)) || check(&again, "") != nil {
				t.Fatalf("read as %+v, then as %+v", end, again)
			}
		}
	})
}
