// Package exact reads JSON without losing anything: names keep their case, numbers their digits, texts their
// characters, members their order. encoding/json alone folds the case of names, replaces what is not UTF-8 and
// reads numbers into floats.
package exact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is how deep lists and objects may be nested, the outermost included: x-max-depth of payload.json. More is
// refused before anything follows them down.
const MaxDepth = 512

var (
	errEncoding  = errors.New("not UTF-8")
	errSyntax    = errors.New("not one JSON document")
	errDepth     = fmt.Errorf("nested deeper than %d", MaxDepth)
	errSurrogate = errors.New("half of a surrogate pair")
)

// Check reports why data is not one JSON document in UTF-8; nil if it is one. The other functions of this package
// take what it has accepted.
func Check(data []byte) error {
	switch {
	case !utf8.Valid(data):
		return errEncoding
	case Depth(data) > MaxDepth:
		return errDepth
	case !json.Valid(data):
		return errSyntax
	case hasLoneSurrogate(data):
		return errSurrogate
	}
	return nil
}

// CheckDepth reports that data, which is JSON, is nested too deep.
func CheckDepth(data []byte) error {
	if Depth(data) > MaxDepth {
		return errDepth
	}
	return nil
}

// Depth counts brackets outside of texts; of what is not JSON it may be anything.
func Depth(data []byte) int {
	now, most := 0, 0
	for at := 0; at < len(data); at++ {
		switch data[at] {
		case '"':
			at = endOfText(data, at) - 1
		case '[', '{':
			now++
			most = max(most, now)
		case ']', '}':
			now--
		}
	}
	return most
}

// hasLoneSurrogate looks at escapes: behind a high half there must be a low one, and nowhere else.
func hasLoneSurrogate(data []byte) bool {
	for at := 0; at+1 < len(data); at++ {
		if data[at] != '\\' {
			continue
		}
		unit, isUnit := codeUnit(data[at:])
		switch {
		case !isUnit:
			at++
		case unit < 0xD800 || unit > 0xDFFF:
			at += 5
		default:
			low, isPair := codeUnit(data[at+6:])
			if unit > 0xDBFF || !isPair || low < 0xDC00 || low > 0xDFFF {
				return true
			}
			at += 11
		}
	}
	return false
}

func codeUnit(data []byte) (uint64, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 32)
	return unit, err == nil
}

// A Member is a name of an object and the bytes of its value.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Members returns an object's members in their order, also those whose name comes again; false if raw is no object.
func Members(raw []byte) ([]Member, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	members := []Member{}
	for at := skipSpace(raw, 1); raw[at] != '}'; {
		end := endOfText(raw, at)
		name := Text(raw[at:end])
		start := skipSpace(raw, skipSpace(raw, end)+1) // over the colon
		end = endOfValue(raw, start)
		members = append(members, Member{name, raw[start:end]})
		at = next(raw, end)
	}
	return members, true
}

// Items returns the values of a list; false if raw is none.
func Items(raw []byte) ([]json.RawMessage, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	items := []json.RawMessage{}
	for at := skipSpace(raw, 1); raw[at] != ']'; {
		end := endOfValue(raw, at)
		items = append(items, raw[at:end])
		at = next(raw, end)
	}
	return items, true
}

// Text returns the characters of a JSON string.
func Text(raw []byte) string {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		panic("exact: not checked: " + err.Error()) // Check has accepted it
	}
	return text
}

// next is where the member or item behind a value begins, or its object or list ends.
func next(raw []byte, end int) int {
	at := skipSpace(raw, end)
	if raw[at] == ',' {
		at = skipSpace(raw, at+1)
	}
	return at
}

func skipSpace(raw []byte, at int) int {
	for raw[at] == ' ' || raw[at] == '\n' || raw[at] == '\r' || raw[at] == '\t' {
		at++
	}
	return at
}

func endOfValue(raw []byte, at int) int {
	switch raw[at] {
	case '"':
		return endOfText(raw, at)
	case '{', '[':
		return endOfNest(raw, at)
	}
	for at < len(raw) && !bytes.ContainsRune([]byte(",]} \n\r\t"), rune(raw[at])) {
		at++
	}
	return at
}

func endOfNest(raw []byte, at int) int {
	for open := 0; ; at++ {
		switch raw[at] {
		case '"':
			at = endOfText(raw, at) - 1
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				return at + 1
			}
		}
	}
}

// endOfText is where a text that begins at a quote has ended, at most the end of raw.
func endOfText(raw []byte, at int) int {
	for at++; at < len(raw); at++ {
		switch raw[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(raw)
}
