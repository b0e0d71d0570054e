package schema

import "strconv"

// The headers of a message in NATS. Names are compared exactly.
const (
	HeaderMessageID   = "Nats-Msg-Id"
	HeaderID          = "Gbe-Id"
	HeaderTimestamp   = "Gbe-Timestamp"
	HeaderTraceparent = "traceparent"
)

// A Header is a name and a value of a message in NATS.
type Header struct{ Name, Value string }

// A NATSMessage is an envelope as it travels and lies in NATS.
type NATSMessage struct {
	Subject string
	Headers []Header
	Body    []byte
}

// HeaderMap returns the headers as client libraries take them, such as nats.Header.
func (m NATSMessage) HeaderMap() map[string][]string {
	named := make(map[string][]string, len(m.Headers))
	for _, one := range m.Headers {
		named[one.Name] = append(named[one.Name], one.Value)
	}
	return named
}

// EncodeNATS binds an envelope to a message. With an idempotency key a second message with it is stored no more while
// the stream remembers it; without one (empty) the same holds of the id. An error is an *InvalidError.
func EncodeNATS(envelope Envelope, idempotencyKey string) (NATSMessage, error) {
	if err := envelope.Validate(); err != nil {
		return NATSMessage{}, err
	}
	seen := "i:" + envelope.ID
	if idempotencyKey != "" {
		if err := CheckIdempotencyKey(idempotencyKey); err != nil {
			return NATSMessage{}, err
		}
		seen = "k:" + idempotencyKey
	}
	headers := []Header{
		{HeaderMessageID, envelope.Subject + "|" + seen}, // the engine counts per stream: so it names the subject, too
		{HeaderID, envelope.ID},
		{HeaderTimestamp, strconv.FormatUint(envelope.Timestamp, 10)},
	}
	if envelope.Traceparent != "" {
		headers = append(headers, Header{HeaderTraceparent, envelope.Traceparent})
	}
	return NATSMessage{envelope.Subject, headers, envelope.Payload}, nil
}

// DecodeNATS reads an envelope back. What another program published without usable headers gets an id made of its
// place: its sequence in the stream, and the unix milliseconds at which the engine stored it. The payload is body.
func DecodeNATS(subject string, headers map[string][]string, body []byte, sequence, storedMS uint64) Envelope {
	envelope := Envelope{Subject: subject, Payload: body, Traceparent: orNoTraceparent(last(headers[HeaderTraceparent]))}
	envelope.ID = last(headers[HeaderID])
	stated, isTime := statedTime(last(headers[HeaderTimestamp]))
	envelope.Timestamp = stated
	if !isTime || !IsULID(envelope.ID) {
		envelope.ID, envelope.Timestamp = ulidOfPlace(storedMS, sequence), storedMS
	}
	return envelope
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
