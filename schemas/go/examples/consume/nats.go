package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gbe/schema"
	"gbe/schema/examples/internal/engine"
)

// consumeNATS hands on each message, and acknowledges it then, until there is no wish for more.
func consumeNATS(ctx context.Context, options *engine.Options, group string, handle func(schema.Envelope) bool) error {
	client, err := nats.Connect(options.URL)
	if err != nil {
		return fmt.Errorf("-url: %w", err)
	}
	defer client.Close()
	consumer, err := openConsumer(ctx, client, options, group)
	if err != nil {
		return err
	}
	for wantsMore := true; wantsMore; {
		message, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, nats.ErrTimeout):
			continue
		case err != nil:
			return err
		}
		if wantsMore, err = handleMessage(ctx, message, handle); err != nil {
			return err
		}
	}
	return nil
}

// openConsumer makes sure of a durable consumer, which stays when its members are gone.
func openConsumer(ctx context.Context, client *nats.Conn, options *engine.Options, group string) (jetstream.Consumer, error) {
	stream, err := jetstream.New(client)
	if err != nil {
		return nil, err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, options.StreamName(), jetstream.ConsumerConfig{
		Durable:       group,
		FilterSubject: options.Subject(),
		AckPolicy:     jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", options.StreamName(), err)
	}
	return consumer, nil
}

func handleMessage(ctx context.Context, message jetstream.Msg, handle func(schema.Envelope) bool) (bool, error) {
	place, err := message.Metadata()
	if err != nil {
		return false, err
	}
	envelope := schema.DecodeNATS(
		message.Subject(), message.Headers(), message.Data(), place.Sequence.Stream, uint64(place.Timestamp.UnixMilli()),
	)
	wantsMore := handle(envelope)
	return wantsMore, message.DoubleAck(ctx) // confirmed: or the last one would come again
}
