"""Web push: browsers subscribe to topics, and are told of messages through their vendor's push service."""
