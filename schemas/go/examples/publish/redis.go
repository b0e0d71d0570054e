package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"gbe/schema"
	"gbe/schema/examples/internal/engine"
)

const (
	maxAge      = 7 * 24 * time.Hour // of the stream, as gbe is configured
	dedupWindow = 2 * time.Minute
)

//go:embed store.lua
var source string

// store does in one step what docs/redis.md does in steps 2 to 4, and knows what was stored before.
var store = redis.NewScript(source)

func openRedis(options *engine.Options) (publisher, func(), error) {
	client, err := options.Redis()
	if err != nil {
		return nil, nil, err
	}
	publish := func(ctx context.Context, envelope schema.Envelope, key string) (bool, error) {
		index := schema.KeysOf(envelope.Subject).Index(options.StreamName())
		if err := mark(ctx, client, index, envelope.Subject); err != nil {
			return false, fmt.Errorf("not stored: %w", err)
		}
		isStored, err := storeEntry(ctx, client, envelope, key)
		if err != nil {
			return false, fmt.Errorf("not confirmed: %w", err)
		}
		// those who follow a pattern hear of a new subject; it is stored, whether they hear it or not
		_ = client.SPublish(ctx, index, envelope.Subject).Err()
		return isStored, nil
	}
	return publish, func() { _ = client.Close() }, nil
}

// mark says that the subject is in use, by the server's clock: those who follow a pattern find it so.
func mark(ctx context.Context, client redis.UniversalClient, index, subject string) error {
	now, err := client.Time(ctx).Result()
	if err != nil {
		return err
	}
	used := redis.Z{Score: float64(now.UnixMilli()), Member: subject}
	return client.ZAddGT(ctx, index, used).Err()
}

func storeEntry(ctx context.Context, client redis.UniversalClient, envelope schema.Envelope, key string) (bool, error) {
	entry, err := schema.EncodeRedis(envelope)
	if err != nil {
		return false, err
	}
	seen := schema.KeysOf(envelope.Subject).SeenID(envelope.ID)
	if key != "" {
		seen = schema.KeysOf(envelope.Subject).SeenKey(key)
	}
	arguments := append([]any{envelope.ID, dedupWindow.Milliseconds(), maxAge.Milliseconds()}, entry.Values()...)
	id, err := store.Run(ctx, client, []string{entry.Key, seen}, arguments...).Text()
	return id != "", err
}
