package schema

import (
	"encoding/json"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// A ringed shape also has fields whose names it does not list one by one.
type ringed interface{ rings() []ring }

// A ring is the fields whose names match a pattern.
type ring interface {
	decode(members map[string]json.RawMessage, path string) error
	check(path string) error
	append(b []byte, written int) ([]byte, int)
	read(fields map[string][]byte)
	store(fields map[string][]byte)
}

func ringsOf(of shape) []ring {
	if some, is := of.(ringed); is {
		return some.rings()
	}
	return nil
}

// lines are a ring whose fields are, in a record, the values of T with spaces between.
type lines[T any, P shapeOf[T]] struct {
	names *regexp.Regexp
	at    *map[string]T
}

func (l lines[T, P]) set(name string, value T) {
	if *l.at == nil {
		*l.at = map[string]T{}
	}
	(*l.at)[name] = value
}

func (l lines[T, P]) decode(members map[string]json.RawMessage, path string) error {
	for name, raw := range members {
		if !l.names.MatchString(name) {
			continue
		}
		var value T
		if err := decodeObject(raw, join(path, name), P(&value)); err != nil {
			return err
		}
		l.set(name, value)
	}
	return nil
}

func (l lines[T, P]) check(path string) error {
	for name, value := range *l.at {
		if !l.names.MatchString(name) {
			return invalid(ReasonFormat, join(path, name), "%s does not match %s", abridged(name), l.names)
		}
		if err := check(P(&value), join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

func (l lines[T, P]) append(b []byte, written int) ([]byte, int) {
	for _, name := range sortedKeys(*l.at) {
		value := (*l.at)[name]
		b = appendText(comma(b, written), name)
		b = appendObject(append(b, ':'), P(&value))
		written++
	}
	return b, written
}

// read skips a line that does not read so: no record is refused for what it tells of its past.
func (l lines[T, P]) read(fields map[string][]byte) {
	for name, line := range fields {
		var value T
		if l.names.MatchString(name) && readLine(line, P(&value)) {
			l.set(name, value)
		}
	}
}

func (l lines[T, P]) store(fields map[string][]byte) {
	for name, value := range *l.at {
		fields[name] = lineOf(P(&value))
	}
}

func readLine(line []byte, into shape) bool {
	if !utf8.Valid(line) {
		return false
	}
	into.reset()
	bindings := into.bindings()
	parts := strings.SplitN(string(line), " ", len(bindings))
	if len(parts) != len(bindings) {
		return false
	}
	for number, field := range bindings {
		if field.readPart(parts[number]) != nil || field.check(field.rule.name) != nil {
			return false
		}
	}
	return true
}

func (f binding) readPart(part string) error {
	if f.rule.nullable && part == f.rule.absent {
		return nil
	}
	if _, isNumber := f.at.(*int64); isNumber {
		return f.readDecimal([]byte(part))
	}
	return f.readText([]byte(part))
}

// lineOf writes a line; only its last part may have spaces.
func lineOf(of shape) []byte {
	var parts []string
	for _, field := range of.bindings() {
		part := field.rule.absent
		if !field.isAbsent() {
			part = string(field.stored())
		}
		parts = append(parts, part)
	}
	for number := range parts[:len(parts)-1] {
		parts[number] = strings.ReplaceAll(parts[number], " ", "_")
	}
	return []byte(strings.Join(parts, " "))
}

func sortedKeys[T any](named map[string]T) []string {
	names := make([]string, 0, len(named))
	for name := range named {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
