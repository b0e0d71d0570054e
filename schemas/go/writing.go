package schema

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"gbe/schema/internal/exact"
)

// encode writes a document that is valid.
func encode(of shape) ([]byte, error) {
	if err := check(of, ""); err != nil {
		return nil, err
	}
	data := appendObject(nil, of)
	if err := exact.CheckDepth(data); err != nil { // what is free-form lies a level or more down
		return nil, invalid(ReasonSyntax, "", "%s", err)
	}
	return data, nil
}

// appendObject writes fields in the order of their schema; what is absent is left out.
func appendObject(b []byte, of shape) []byte {
	b = append(b, '{')
	written := 0
	for _, field := range of.bindings() {
		if !field.rule.required && field.isAbsent() {
			continue
		}
		b = appendText(comma(b, written), field.rule.name)
		b = field.append(append(b, ':'))
		written++
	}
	for _, one := range ringsOf(of) {
		b, written = one.append(b, written)
	}
	return append(b, '}')
}

// comma stands before everything but the first.
func comma(b []byte, written int) []byte {
	if written > 0 {
		return append(b, ',')
	}
	return b
}

func (f binding) isAbsent() bool {
	switch at := f.at.(type) {
	case **int64:
		return *at == nil
	case **float64:
		return *at == nil
	case **string:
		return *at == nil
	case *[]byte:
		return len(*at) == 0
	case *[]string:
		return len(*at) == 0
	case *map[string]string:
		return len(*at) == 0 && (*at == nil || !f.rule.nullable)
	case *json.RawMessage:
		return len(*at) == 0 || f.rule.nullable && string(*at) == "null"
	case composite:
		return at.isAbsent()
	}
	return false
}

func (f binding) append(b []byte) []byte {
	switch at := f.at.(type) {
	case *int64:
		return strconv.AppendInt(b, *at, 10)
	case **int64:
		return strconv.AppendInt(b, **at, 10)
	case *float64:
		return appendFloat(b, *at)
	case **float64:
		return appendFloat(b, **at)
	case *string:
		return appendText(b, *at)
	case **string:
		return appendText(b, **at)
	case *bool:
		return strconv.AppendBool(b, *at)
	case *[]byte:
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), *at), '"')
	case *[]string:
		return appendTexts(b, *at)
	case *map[string]string:
		return appendTextsByName(b, *at)
	case *json.RawMessage:
		return append(b, *at...)
	case composite:
		return at.append(b)
	}
	return b
}

// appendFloat writes the shortest number that is read back as the same.
func appendFloat(b []byte, value float64) []byte {
	number, _ := json.Marshal(value) // what is checked is finite
	return append(b, number...)
}

const hexadecimal = "0123456789abcdef"

// appendText escapes no more than it must (RFC 8259 section 7).
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for _, letter := range text {
		switch {
		case letter == '"' || letter == '\\':
			b = append(b, '\\', byte(letter))
		case letter < ' ':
			b = append(b, '\\', 'u', '0', '0', hexadecimal[letter>>4], hexadecimal[letter&15])
		default:
			b = utf8.AppendRune(b, letter)
		}
	}
	return append(b, '"')
}

func appendTexts(b []byte, values []string) []byte {
	b = append(b, '[')
	for number, value := range values {
		b = appendText(comma(b, number), value)
	}
	return append(b, ']')
}

// appendTextsByName writes them sorted: equal maps are equal bytes.
func appendTextsByName(b []byte, values map[string]string) []byte {
	b = append(b, '{')
	for number, name := range sortedKeys(values) {
		b = appendText(comma(b, number), name)
		b = appendText(append(b, ':'), values[name])
	}
	return append(b, '}')
}
