package schema

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"gbe/schema/internal/exact"
)

// readFields reads a record as the state store holds it; fields that it does not know are left alone.
func readFields(fields map[string][]byte, into shape) error {
	into.reset()
	for _, field := range into.bindings() {
		value, isThere := fields[field.rule.name]
		var err error
		switch {
		case isThere:
			err = field.read(value)
		case field.rule.required:
			err = invalid(ReasonMissing, field.rule.name, "required")
		}
		if err != nil {
			return err
		}
	}
	for _, one := range ringsOf(into) {
		one.read(fields)
	}
	return nil
}

func (f binding) read(value []byte) error {
	if err := f.readAs(value); err != nil {
		return err
	}
	return f.check(f.rule.name)
}

func (f binding) readAs(value []byte) (err error) {
	switch f.rule.stored {
	case "decimal":
		return f.readDecimal(value)
	case "text":
		return f.readText(value)
	case "json":
		if err := exact.Check(value); err != nil {
			return invalid(ReasonType, f.rule.name, "%s", err)
		}
		return f.decode(bytes.TrimSpace(value), f.rule.name)
	}
	*f.at.(*[]byte) = bytes.Clone(value)
	return nil
}

func (f binding) readDecimal(value []byte) error {
	for _, digit := range value {
		if digit < '0' || digit > '9' {
			return invalid(ReasonType, f.rule.name, "expected digits, not %s", abridged(string(value)))
		}
	}
	if len(value) == 0 {
		return invalid(ReasonType, f.rule.name, "expected digits")
	}
	return f.decode(value, f.rule.name)
}

func (f binding) readText(value []byte) error {
	if !utf8.Valid(value) {
		return invalid(ReasonType, f.rule.name, "a text is UTF-8")
	}
	switch at := f.at.(type) {
	case *string:
		*at = string(value)
	case **string:
		copied := string(value)
		*at = &copied
	}
	return nil
}

// fieldsOf writes a record that is valid as the state store holds it; what is absent is left out.
func fieldsOf(of shape) (map[string][]byte, error) {
	if err := check(of, ""); err != nil {
		return nil, err
	}
	fields := map[string][]byte{}
	for _, field := range of.bindings() {
		if field.rule.required || !field.isAbsent() {
			fields[field.rule.name] = field.stored()
		}
	}
	for _, one := range ringsOf(of) {
		one.store(fields)
	}
	return fields, nil
}

func (f binding) stored() []byte {
	switch at := f.at.(type) {
	case *string:
		return []byte(*at)
	case **string:
		return []byte(**at)
	case *[]byte:
		return bytes.Clone(*at)
	case *json.RawMessage:
		return bytes.Clone(*at)
	}
	return f.append(nil)
}

// decimal is a number as a record's field.
func decimal(value int64) []byte { return strconv.AppendInt(nil, value, 10) }
