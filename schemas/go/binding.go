package schema

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"gbe/schema/internal/exact"
)

// A binding ties a field of a Go struct to its rule. One list of them serves to read, check and write.
type binding struct {
	rule *rule
	at   any // a pointer to the field, or a composite
}

// A shape is a struct with declared fields.
type shape interface {
	reset() // to the defaults
	bindings() []binding
}

// A composite is a field that has fields.
type composite interface {
	decode(raw []byte, path string) error
	check(path string) error
	append(b []byte) []byte
	isAbsent() bool
}

// shapeOf is a pointer to T that is a shape.
type shapeOf[T any] interface {
	*T
	shape
}

type one[T any, P shapeOf[T]] struct{ at P }

func (c one[T, P]) decode(raw []byte, path string) error { return decodeObject(raw, path, c.at) }
func (c one[T, P]) check(path string) error              { return check(c.at, path) }
func (c one[T, P]) append(b []byte) []byte               { return appendObject(b, c.at) }
func (c one[T, P]) isAbsent() bool                       { return false }

type maybe[T any, P shapeOf[T]] struct{ at *P }

func (c maybe[T, P]) decode(raw []byte, path string) error {
	*c.at = new(T)
	return decodeObject(raw, path, *c.at)
}

func (c maybe[T, P]) check(path string) error {
	if c.isAbsent() {
		return nil
	}
	return check(*c.at, path)
}

func (c maybe[T, P]) append(b []byte) []byte { return appendObject(b, *c.at) }
func (c maybe[T, P]) isAbsent() bool         { return *c.at == nil }

type many[T any, P shapeOf[T]] struct{ at *[]T }

func (c many[T, P]) decode(raw []byte, path string) error {
	items, isList := exact.Items(raw)
	if !isList {
		return invalid(ReasonType, path, "expected a list")
	}
	*c.at = make([]T, len(items))
	for number, item := range items {
		if err := decodeObject(item, path, P(&(*c.at)[number])); err != nil {
			return err
		}
	}
	return nil
}

func (c many[T, P]) check(path string) error {
	for number := range *c.at {
		if err := check(P(&(*c.at)[number]), path); err != nil {
			return err
		}
	}
	return nil
}

func (c many[T, P]) append(b []byte) []byte {
	b = append(b, '[')
	for number := range *c.at {
		b = comma(b, number)
		b = appendObject(b, P(&(*c.at)[number]))
	}
	return append(b, ']')
}

func (c many[T, P]) isAbsent() bool { return len(*c.at) == 0 }

// decode reads a whole document.
func decode(data []byte, into shape) error {
	into.reset()
	if err := exact.Check(data); err != nil {
		return invalid(ReasonSyntax, "", "%s", err)
	}
	return decodeObject(data, "", into)
}

func decodeObject(raw []byte, path string, into shape) error {
	members, isObject := exact.Members(raw)
	if !isObject {
		return invalid(ReasonType, path, "expected an object")
	}
	named := make(map[string]json.RawMessage, len(members))
	for _, member := range members {
		named[member.Name] = member.Value // of a name that comes twice the last one counts
	}
	into.reset()
	for _, field := range into.bindings() {
		value, isThere := named[field.rule.name]
		if err := field.decodeAny(value, isThere, join(path, field.rule.name)); err != nil {
			return err
		}
	}
	for _, one := range ringsOf(into) {
		if err := one.decode(named, path); err != nil {
			return err
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (f binding) decodeAny(raw []byte, isThere bool, path string) error {
	switch {
	case !isThere && f.rule.required:
		return invalid(ReasonMissing, path, "required")
	case !isThere, f.rule.nullable && string(raw) == "null":
		return nil
	}
	if err := f.decode(raw, path); err != nil {
		return err
	}
	if _, isComposite := f.at.(composite); isComposite {
		return nil // its fields are checked one by one
	}
	return f.check(path)
}

// decode reads the JSON of a field; whether the value fits is the business of check.
func (f binding) decode(raw []byte, path string) (err error) {
	switch at := f.at.(type) {
	case *int64:
		*at, err = f.rule.integer(raw, path)
	case **int64:
		*at = new(int64)
		**at, err = f.rule.integer(raw, path)
	case *float64:
		*at, err = float(raw, path)
	case **float64:
		*at = new(float64)
		**at, err = float(raw, path)
	case *string:
		*at, err = text(raw, path)
	case **string:
		*at = new(string)
		**at, err = text(raw, path)
	case *bool:
		*at, err = boolean(raw, path)
	case *[]byte:
		*at, err = decodeBase64(raw, path)
	case *[]string:
		*at, err = texts(raw, path)
	case *map[string]string:
		*at, err = textsByName(raw, path)
	case *json.RawMessage:
		*at = bytes.Clone(raw)
	case composite:
		err = at.decode(raw, path)
	}
	return err
}

func boolean(raw []byte, path string) (bool, error) {
	if value := string(raw); value != "true" && value != "false" {
		return false, invalid(ReasonType, path, "expected true or false, not %s", abridged(value))
	}
	return raw[0] == 't', nil
}

func decodeBase64(raw []byte, path string) ([]byte, error) {
	encoded, err := text(raw, path)
	if err != nil {
		return nil, err
	}
	// line breaks are skipped by the library; RFC 4648 section 3.3 says to refuse them
	value, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || base64.StdEncoding.EncodedLen(len(value)) != len(encoded) {
		return nil, invalid(ReasonFormat, path, "expected base64 with padding")
	}
	return value, nil
}

func texts(raw []byte, path string) ([]string, error) {
	items, isList := exact.Items(raw)
	if !isList {
		return nil, invalid(ReasonType, path, "expected a list")
	}
	values := make([]string, len(items))
	for number, item := range items {
		value, err := text(item, path)
		if err != nil {
			return nil, err
		}
		values[number] = value
	}
	return values, nil
}

func textsByName(raw []byte, path string) (map[string]string, error) {
	members, isObject := exact.Members(raw)
	if !isObject {
		return nil, invalid(ReasonType, path, "expected an object")
	}
	values := make(map[string]string, len(members))
	for _, member := range members {
		value, err := text(member.Value, path)
		if err != nil {
			return nil, err
		}
		values[member.Name] = value
	}
	return values, nil
}

// check reports the first field that does not fit.
func check(of shape, path string) error {
	for _, field := range of.bindings() {
		if err := field.check(join(path, field.rule.name)); err != nil {
			return err
		}
	}
	for _, one := range ringsOf(of) {
		if err := one.check(path); err != nil {
			return err
		}
	}
	return nil
}

func (f binding) check(path string) error {
	switch at := f.at.(type) {
	case *int64:
		return f.rule.checkInteger(*at, path)
	case **int64:
		return checkIfSet(*at, f.rule.checkInteger, path)
	case *float64:
		return f.rule.checkFloat(*at, path)
	case **float64:
		return checkIfSet(*at, f.rule.checkFloat, path)
	case *string:
		return f.rule.checkText(*at, path)
	case **string:
		return checkIfSet(*at, f.rule.checkText, path)
	case *[]string:
		return checkEach(*at, path)
	case *map[string]string:
		return f.rule.checkTexts(*at, path)
	case *json.RawMessage:
		return f.rule.checkJSON(*at, path)
	case composite:
		return at.check(path)
	}
	return nil
}

func checkIfSet[T any](value *T, check func(T, string) error, path string) error {
	if value == nil {
		return nil
	}
	return check(*value, path)
}

func checkEach(values []string, path string) error {
	for _, value := range values {
		if !utf8.ValidString(value) {
			return invalid(ReasonType, path, "a text is UTF-8")
		}
	}
	return nil
}
