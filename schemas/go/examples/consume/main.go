// Command consume reads the events of one subject as a member of a consumer group, on NATS or on Redis, and prints
// each as a line of JSON:
//
//	go run ./consume -engine redis -group mirror -count 1
//
// What its schema refuses is told on stderr, and not delivered again.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"gbe/schema"
	"gbe/schema/examples/internal/engine"
)

// A line is what is printed of an event.
type line struct {
	ID          string          `json:"id"`
	Subject     string          `json:"subject"`
	Timestamp   uint64          `json:"timestamp"`
	Traceparent string          `json:"traceparent,omitempty"`
	Schema      string          `json:"schema"`
	Payload     schema.Document `json:"payload"`
}

func main() {
	options := engine.Flags()
	group := flag.String("group", "go", "the consumer group: each event goes to one of its members")
	count := flag.Int("count", 0, "how many events; 0 for as long as it runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, options, *group, *count); err != nil {
		fmt.Fprintln(os.Stderr, "consume:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, options *engine.Options, group string, count int) error {
	if err := options.Check(); err != nil {
		return err
	}
	if !schema.IsToken(group) {
		return fmt.Errorf("-group is %q; expected letters, digits, _ and -", group)
	}
	consume := map[string]func(context.Context, *engine.Options, string, func(schema.Envelope) bool) error{
		"nats": consumeNATS, "redis": consumeRedis,
	}[options.Engine]
	printed := 0
	return consume(ctx, options, group, func(envelope schema.Envelope) bool {
		printEvent(options.Namespace, envelope)
		printed++
		return printed != count
	})
}

func printEvent(namespace string, envelope schema.Envelope) {
	document, err := schema.DecodeBySubject(namespace, envelope.Subject, envelope.Payload)
	if err != nil {
		fmt.Fprintf(os.Stderr, "consume: %s is refused: %v\n", envelope.ID, err)
		return
	}
	text, err := json.Marshal(line{
		envelope.ID, envelope.Subject, envelope.Timestamp, envelope.Traceparent, document.Schema(), document,
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "consume: %s: %v\n", envelope.ID, err)
		return
	}
	fmt.Println(string(text))
}
