package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"gbe/schema"
	"gbe/schema/examples/internal/engine"
)

// consumeRedis hands on each entry, and acknowledges it then, until there is no wish for more: first what this member
// had been given and did not answer, then what is new.
func consumeRedis(ctx context.Context, options *engine.Options, group string, handle func(schema.Envelope) bool) error {
	client, err := options.Redis()
	if err != nil {
		return err
	}
	defer client.Close()
	key := schema.KeysOf(options.Subject()).Stream
	err = client.XGroupCreateMkStream(ctx, key, group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("group %s of %s: %w", group, key, err)
	}
	member, err := os.Hostname()
	if err != nil {
		return err
	}
	for _, from := range []string{"0", ">"} {
		read := redis.XReadGroupArgs{
			Group: group, Consumer: member, Streams: []string{key, from}, Count: 10, Block: time.Second,
		}
		wantsMore, err := readGroup(ctx, client, &read, handle)
		if !wantsMore || err != nil {
			return err
		}
	}
	return nil
}

// readGroup reads new entries for as long as they are wanted; old ones until there are none.
func readGroup(ctx context.Context, client redis.UniversalClient, read *redis.XReadGroupArgs, handle func(schema.Envelope) bool) (bool, error) {
	for {
		streams, err := client.XReadGroup(ctx, read).Result()
		switch {
		case ctx.Err() != nil:
			return false, nil
		case errors.Is(err, redis.Nil):
			continue
		case err != nil:
			return false, err
		case len(streams[0].Messages) == 0:
			return true, nil
		}
		for _, entry := range streams[0].Messages {
			wantsMore, err := handleEntry(ctx, client, read, entry, handle)
			if !wantsMore || err != nil {
				return false, err
			}
		}
	}
}

func handleEntry(ctx context.Context, client redis.UniversalClient, read *redis.XReadGroupArgs, entry redis.XMessage, handle func(schema.Envelope) bool) (bool, error) {
	key := read.Streams[0]
	var fields []schema.RedisField
	for name, value := range entry.Values {
		fields = append(fields, schema.RedisField{Name: name, Value: []byte(fmt.Sprint(value))})
	}
	envelope, err := schema.DecodeRedis(key, entry.ID, fields)
	if err != nil {
		return false, err
	}
	wantsMore := handle(envelope)
	return wantsMore, client.XAck(ctx, key, read.Group, entry.ID).Err()
}
