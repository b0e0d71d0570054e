package schema

import (
	"encoding/binary"
	"math"
	"sort"
	"unicode/utf8"
)

// EncodeRecord writes a record as the body of its message in NATS: a MessagePack map of str to bin
// (github.com/msgpack/msgpack, spec.md), sorted by name.
func EncodeRecord(fields map[string][]byte) []byte {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	body := appendCount(nil, len(names), 0x80, 15, 0, 0xde, 0xdf)
	for _, name := range names {
		body = append(appendCount(body, len(name), 0xa0, 31, 0xd9, 0xda, 0xdb), name...)
		body = append(appendCount(body, len(fields[name]), 0, -1, 0xc4, 0xc5, 0xc6), fields[name]...)
	}
	return body
}

// appendCount writes how much follows in the shortest way that there is: within one byte up to inOne, else behind a
// byte that says how wide it is. A code of 0 is none.
func appendCount(b []byte, count int, base byte, inOne int, code8, code16, code32 byte) []byte {
	switch {
	case count <= inOne:
		return append(b, base|byte(count))
	case count <= math.MaxUint8 && code8 != 0:
		return append(b, code8, byte(count))
	case count <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, code16), uint16(count))
	}
	return binary.BigEndian.AppendUint32(append(b, code32), uint32(count))
}

// DecodeRecord reads the body of a record's message. An error is an *InvalidError of ReasonSyntax. What it returns
// shares no memory with body.
func DecodeRecord(body []byte) (map[string][]byte, error) {
	reader := packed{rest: body}
	count := reader.count(0x80, 0x8f, 0, 0xde, 0xdf)
	fields := map[string][]byte{}
	for ; count > 0 && !reader.isBroken; count-- {
		name := string(reader.take(reader.count(0xa0, 0xbf, 0xd9, 0xda, 0xdb)))
		value := reader.take(reader.count(1, 0, 0xc4, 0xc5, 0xc6))
		reader.isBroken = reader.isBroken || !utf8.ValidString(name)
		fields[name] = append([]byte{}, value...)
	}
	if reader.isBroken || len(reader.rest) > 0 {
		return nil, invalid(ReasonSyntax, "", "not a MessagePack map of texts to bytes")
	}
	return fields, nil
}

// packed reads MessagePack; after the first thing that is not as expected it gives nothing more.
type packed struct {
	rest     []byte
	isBroken bool
}

// take returns the next bytes: those that are there are never more than were sent.
func (p *packed) take(count int) []byte {
	if p.isBroken || count > len(p.rest) {
		p.isBroken = true
		return nil
	}
	taken := p.rest[:count]
	p.rest = p.rest[count:]
	return taken
}

// count reads how much follows: within one byte from low to high, or behind a code.
func (p *packed) count(low, high, code8, code16, code32 byte) int {
	first := p.take(1)
	if first == nil {
		return 0
	}
	width := 0
	switch code := first[0]; {
	case code >= low && code <= high:
		return int(code - low)
	case code == code8 && code8 != 0:
		width = 1
	case code == code16:
		width = 2
	case code == code32:
		width = 4
	default:
		p.isBroken = true
	}
	number := 0
	for _, digit := range p.take(width) {
		number = number<<8 | int(digit)
	}
	return number
}
