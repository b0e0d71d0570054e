// Command publish publishes one audit event, checked by its schema, on NATS or on Redis:
//
//	go run ./publish -engine redis -actor ann -action update -target invoice/17 -after '{"paid":true}'
//
// It prints the id of the message once the engine has stored it. With -key a second run with the same key stores
// nothing, and says so.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"gbe/schema"
	"gbe/schema/examples/internal/engine"
)

// A publisher stores a message; it returns false if one with the same key was there before.
type publisher func(ctx context.Context, envelope schema.Envelope, key string) (bool, error)

func main() {
	options := engine.Flags()
	actor := flag.String("actor", "go", "who")
	action := flag.String("action", "update", "a verb")
	target := flag.String("target", "invoice/17", "what")
	after := flag.String("after", "", "its state after, JSON")
	key := flag.String("key", "", "idempotency key")
	trace := flag.String("traceparent", "", "W3C trace context")
	flag.Parse()
	change := schema.NewAuditChange(*actor, *action, *target)
	change.After = json.RawMessage(*after)
	if err := run(options, change, *key, *trace); err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		os.Exit(1)
	}
}

// prepared is the message, if everything about it is as it must be: what is not does not even connect.
func prepared(options *engine.Options, change schema.AuditChange, key, trace string) (schema.Envelope, error) {
	if err := options.Check(); err != nil {
		return schema.Envelope{}, err
	}
	payload, err := change.Encode()
	if err != nil {
		return schema.Envelope{}, err
	}
	if key != "" {
		if err := schema.CheckIdempotencyKey(key); err != nil {
			return schema.Envelope{}, err
		}
	}
	envelope := schema.NewEnvelope(options.Subject(), payload)
	envelope.Traceparent = trace
	return envelope, envelope.Validate()
}

func run(options *engine.Options, change schema.AuditChange, key, trace string) error {
	envelope, err := prepared(options, change, key, trace)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	open := map[string]func(*engine.Options) (publisher, func(), error){"nats": openNATS, "redis": openRedis}
	publish, closeIt, err := open[options.Engine](options)
	if err != nil {
		return err
	}
	defer closeIt()
	isStored, err := publish(ctx, envelope, key)
	switch {
	case err != nil:
		return err
	case isStored:
		fmt.Println(envelope.ID)
	default:
		fmt.Println("stored before")
	}
	return nil
}
