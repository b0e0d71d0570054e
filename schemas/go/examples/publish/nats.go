package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gbe/schema"
	"gbe/schema/examples/internal/engine"
)

func openNATS(options *engine.Options) (publisher, func(), error) {
	client, err := nats.Connect(options.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("-url: %w", err)
	}
	stream, err := jetstream.New(client)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	publish := func(ctx context.Context, envelope schema.Envelope, key string) (bool, error) {
		message, err := schema.EncodeNATS(envelope, key)
		if err != nil {
			return false, err
		}
		confirmed, err := stream.PublishMsg(ctx, &nats.Msg{
			Subject: message.Subject, Header: message.HeaderMap(), Data: message.Body,
		}, jetstream.WithExpectStream(options.StreamName()))
		if err != nil {
			return false, fmt.Errorf("not confirmed: %w", err)
		}
		return !confirmed.Duplicate, nil
	}
	return publish, client.Close, nil
}
