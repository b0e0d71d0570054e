// Package engine is what the examples share: their flags, and a client of Redis.
package engine

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"gbe/schema"
)

// Options say where an example publishes or consumes.
type Options struct {
	Engine, URL, Namespace, Stream, Name string
}

// errAddress does not repeat the address: there may be a password in it.
var errAddress = errors.New("-url is no address of Redis; expected redis://host:6379, rediss://… or redis+cluster://a:6379,b:6379")

// Flags declares the flags of Options; parse them, then call Check.
func Flags() *Options {
	var o Options
	flag.StringVar(&o.Engine, "engine", "nats", "nats or redis")
	flag.StringVar(&o.URL, "url", "", "nats://…, redis://…, rediss://… or redis+cluster://… (default of the engine on this machine)")
	flag.StringVar(&o.Namespace, "namespace", "gbe", "first token of subjects")
	flag.StringVar(&o.Stream, "stream", "events-audit", "configured stream that covers the subject, without the namespace")
	flag.StringVar(&o.Name, "subject", "events.audit.change", "subject, without the namespace")
	return &o
}

// Check reports what is wrong with the flags, and fills in the address of the engine.
func (o *Options) Check() error {
	addresses := map[string]string{"nats": "nats://127.0.0.1:4222", "redis": "redis://127.0.0.1:6379"}
	if addresses[o.Engine] == "" {
		return fmt.Errorf("-engine is %q; expected nats or redis", o.Engine)
	}
	if o.URL == "" {
		o.URL = addresses[o.Engine]
	}
	if !schema.IsToken(o.Stream) {
		return fmt.Errorf("-stream is %q; expected letters, digits, _ and -", o.Stream)
	}
	return schema.CheckSubject(o.Subject())
}

// Subject is the whole subject.
func (o *Options) Subject() string { return o.Namespace + "." + o.Name }

// StreamName is the stream's name in the engine.
func (o *Options) StreamName() string { return o.Namespace + "-" + o.Stream }

// Redis connects to a server, or to a cluster whose nodes are named with commas between.
func (o *Options) Redis() (redis.UniversalClient, error) {
	scheme, nodes, _ := strings.Cut(o.URL, "+cluster://")
	if nodes == "" {
		options, err := redis.ParseURL(o.URL)
		if err != nil {
			return nil, errAddress
		}
		return redis.NewClient(options), nil
	}
	first, others, _ := strings.Cut(nodes, ",")
	address := scheme + "://" + first
	if others != "" {
		address += "?addr=" + strings.ReplaceAll(others, ",", "&addr=")
	}
	options, err := redis.ParseClusterURL(address)
	if err != nil {
		return nil, errAddress
	}
	return redis.NewClusterClient(options), nil
}
