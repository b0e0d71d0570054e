"""The state store on NATS JetStream: a KV bucket with compare-and-set, and its deadline index."""
