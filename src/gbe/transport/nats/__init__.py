"""The transport on NATS JetStream, through nats-py.

Nothing outside this package sees nats-py or a JetStream subject.
"""
