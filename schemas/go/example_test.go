package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	schema "gbe/schema"
)

// A publisher fills in what an event says; version, time and id are made.
func ExampleNewAuditChange() {
	change := schema.NewAuditChange("ann", "update", "invoice/17")
	change.After = json.RawMessage(`{"paid":true}`)
	change.TS, change.ID = 1795634933666, "evt-1" // for the same output every time
	payload, err := change.Encode()
	if err != nil {
		panic(err)
	}
	fmt.Println(string(payload))
	// Output: {"v":1,"ts":1795634933666,"id":"evt-1","actor":"ann","action":"update","target":"invoice/17","after":{"paid":true}}
}

// What does not fit is refused with the path of the field.
func ExampleInvalidError() {
	_, err := schema.DecodeAuditChange([]byte(`{"v":1,"ts":1,"id":"a","actor":"","action":"x","target":"y"}`))
	var why *schema.InvalidError
	if errors.As(err, &why) {
		fmt.Println(why.Path, why.Reason)
	}
	fmt.Println(err)
	// Output:
	// actor bound
	// actor: bound: expected 1 to 256 characters, not 0
}

// A consumer need not know which schema a subject has.
func ExampleDecodeBySubject() {
	payload := []byte(`{"v":1,"ts":1795634933666,"id":"evt-1","actor":"ann","action":"bill"}`)
	document, err := schema.DecodeBySubject("gbe", "gbe.events.audit.billing", payload)
	if err != nil {
		panic(err)
	}
	if record, isAudit := document.(schema.AuditRecord); isAudit {
		fmt.Println(document.Schema(), record.Actor)
	}
	// Output: events/audit-record ann
}

// An envelope as a message in NATS; the idempotency key makes a repetition harmless.
func ExampleEncodeNATS() {
	envelope := schema.Envelope{
		ID: "01M8A2XBX214ZQTHTJFHP02E9D", Subject: "gbe.events.audit.change", Timestamp: 1795634933666,
		Payload: []byte("{}"),
	}
	message, err := schema.EncodeNATS(envelope, "invoice-17")
	if err != nil {
		panic(err)
	}
	for _, header := range message.Headers {
		fmt.Println(header.Name+":", header.Value)
	}
	// Output:
	// Nats-Msg-Id: gbe.events.audit.change|k:invoice-17
	// Gbe-Id: 01M8A2XBX214ZQTHTJFHP02E9D
	// Gbe-Timestamp: 1795634933666
}

// A worker takes a pending task: the write is refused if somebody else was faster.
func ExampleClaim() {
	now := int64(1795634934666)
	move := schema.Claim(0, now, schema.Claimant{Worker: "go-1", TimeoutAt: now + 8000, MaxRetries: 3})
	write := schema.StateWrite{
		StateKeys: schema.StateKeys{
			Store: "gbe-state",
			Key:   schema.TaskNames{Namespace: "gbe"}.Record("email-send", "01M8A2XBX214ZQTHTJFHP02E9D"),
		},
		Move:    move,
		Indexes: schema.Indexes(),
	}
	before := map[string][]byte{"state": []byte("pending"), "attempt": []byte("0")}
	after, isOurs := write.Apply(before)
	fmt.Println(isOurs, string(after["state"]), string(after["attempt"]))
	_, isOurs = write.Apply(after)
	fmt.Println(isOurs)
	// Output:
	// true running 1
	// false
}

// The record lives for as long as it is of use.
func ExampleComplete() {
	now := int64(1795634934668)
	ending := schema.Ending{Retention: 24 * time.Hour, AnnounceAt: now + schema.AnnouncePatience.Milliseconds()}
	move := schema.Complete(1, now, []byte(`{"sent":true}`), ending)
	fmt.Println(string(move.Expected[1].Value), move.TTL)
	// Output: 1 24h0m0s
}
