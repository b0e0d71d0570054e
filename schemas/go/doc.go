// Package schema is the contract of gbe: the payloads and records of its domains, and how they travel and lie in NATS
// and in Redis. It reads and writes bytes; connections are the business of a client library (see examples).
//
//   - Payloads and records (AuditChange, TaskRecord, …) are generated from schemas/json. New… makes one with version,
//     time, id and defaults; Decode… and Encode check it; an error is an *InvalidError with the path of the field.
//   - Envelope is what a message carries beside its payload; EncodeNATS, DecodeNATS, EncodeRedis and DecodeRedis are
//     its bindings to the engines.
//   - SubjectKeys, StateKeys, TaskNames and JobNames say where everything lies.
//   - Claim, Renew, Complete and the other moves are the steps of a task's life; StateWrite is how one is written.
//
// The golden cases in schemas/vectors say what all of it must do; the tests run every one of them.
package schema

//go:generate go run ./internal/generate
