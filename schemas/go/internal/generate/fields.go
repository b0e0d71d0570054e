package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A field is a property as it stands in a Go struct.
type field struct {
	name, goName, goType string
	node                 node
	required             bool
	bind                 string // what refers to it in bindings, with %s for the selector
	initial              string // the default, if it is not the zero value
	enum                 string // the type of its values, if it has a list of them
	nested               *structure
}

// A structure is an object with declared fields: a schema, or a part of one.
type structure struct {
	goName string
	node   node
	fields []field
	rings  []ring
}

// A ring is a property for each name that a pattern matches, as a map in a Go struct.
type ring struct {
	pattern string
	node    node
	nested  *structure
}

func structured(goName string, n node) (*structure, error) {
	one := &structure{goName: goName, node: n}
	required := map[string]bool{}
	for _, name := range n.Required {
		required[name] = true
	}
	for _, p := range n.Properties {
		f := field{name: p.name, goName: exported(p.name), node: p.node, required: required[p.name]}
		if err := f.resolve(goName); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		one.fields = append(one.fields, f)
	}
	for _, p := range n.PatternProperties {
		if p.node.Stored != "line" || p.node.Title == "" {
			return nil, fmt.Errorf("%s: no lines, or without a title", p.name)
		}
		nested, err := structured(p.node.Title, p.node)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		one.rings = append(one.rings, ring{p.name, p.node, nested})
	}
	return one, nil
}

// isPointer says whether absence is a value of its own, so that a plain one would not do.
func (f *field) isPointer() bool {
	return !f.required && (len(f.node.Default) == 0 || string(f.node.Default) == "null")
}

func (f *field) resolve(owner string) error {
	f.bind = "&%s"
	kind := f.node.Type.name()
	switch {
	case len(f.node.Enum) > 0:
		f.enum = owner + f.goName
		f.goType, f.bind = f.enum, "(*string)(&%s)"
		if f.isPointer() {
			return fmt.Errorf("a list of values that may be absent is not supported")
		}
	case kind == "object" && len(f.node.Properties) > 0:
		return f.nest(owner+f.goName, &f.node)
	case kind == "object" && f.node.AdditionalProperties != nil:
		f.goType = "map[string]string"
	case kind == "object", kind == "":
		f.goType = "json.RawMessage"
	case kind == "array" && f.node.Items != nil && len(f.node.Items.Properties) > 0:
		return f.nest(owner+strings.TrimSuffix(f.goName, "s"), f.node.Items)
	case kind == "array":
		f.goType = "[]string"
	case kind == "string" && f.node.ContentEncoding == "base64":
		f.goType = "[]byte"
	default:
		plain, is := map[string]string{"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}[kind]
		if !is {
			return fmt.Errorf("no such type: %q", kind)
		}
		if f.goType = plain; f.isPointer() {
			f.goType = "*" + plain
		}
	}
	return f.setInitial()
}

func (f *field) nest(goName string, n *node) (err error) {
	if f.nested, err = structured(goName, *n); err != nil {
		return err
	}
	switch {
	case f.node.Type.name() == "array":
		f.goType, f.bind = "[]"+goName, "many[%[2]s]{&%[1]s}"
	case f.isPointer():
		f.goType, f.bind = "*"+goName, "maybe[%[2]s]{&%[1]s}"
	default:
		f.goType, f.bind = goName, "one[%[2]s]{&%[1]s}"
	}
	return nil
}

func (f *field) setInitial() error {
	text := string(f.node.Default)
	switch text {
	case "", "null", `""`, "0", "[]", "{}", "false":
		return nil
	}
	if f.enum != "" {
		var value string
		err := json.Unmarshal(f.node.Default, &value)
		f.initial = f.enum + exported(value)
		return err
	}
	if f.goType != "string" && f.goType != "int64" {
		return fmt.Errorf("default %s is not supported", text)
	}
	f.initial = text
	return nil
}

// binding is the expression that gives a field to the codecs.
func (f *field) binding() string {
	selector := "p." + f.goName
	if f.nested == nil {
		return fmt.Sprintf(f.bind, selector)
	}
	return fmt.Sprintf(f.bind, selector, f.nested.goName+", *"+f.nested.goName)
}

// rule is the expression of what a value must be.
func (f *field) rule() (string, error) {
	n := f.node
	parts := []string{"name: " + strconv.Quote(f.name)}
	add := func(when bool, format string, values ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, values...))
		}
	}
	kind := n.Type.name()
	add(f.required, "required: true")
	add(n.Type.nullable() || kind == "" && string(n.Default) == "null", "nullable: true")
	add(kind == "object" && f.goType == "json.RawMessage", "object: true")
	add(n.Stored != "", "stored: %q", n.Stored)
	add(n.Absent != nil, "absent: %q", textOf(n.Absent))
	if kind == "integer" {
		add(true, "min: %s, max: %s", number(n.Minimum, math.MinInt64), number(n.Maximum, math.MaxInt64))
	}
	add(kind == "number" && n.Minimum != nil, "low: %s", number(n.Minimum, 0))
	if kind == "number" && n.Maximum != nil {
		return "", fmt.Errorf("%s: the maximum of a number is not supported", f.name)
	}
	add(n.MinLength != nil, "minLength: %d", value(n.MinLength))
	add(n.MaxLength != nil, "maxLength: %d", value(n.MaxLength))
	pattern := n.Pattern
	if pattern == "" && n.AdditionalProperties != nil {
		pattern = n.AdditionalProperties.Pattern
	}
	add(pattern != "", "pattern: pattern(%s)", "`"+pattern+"`")
	add(len(n.Enum) > 0, "enum: %#v", n.Enum)
	return "{" + strings.Join(parts, ", ") + "}", nil
}

func number(limit *json.Number, otherwise int64) string {
	if limit == nil {
		return strconv.FormatInt(otherwise, 10)
	}
	return limit.String()
}

func value(limit *int) int {
	if limit == nil {
		return 0
	}
	return *limit
}

func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// comment is what the schema says of a field.
func (f *field) comment() string {
	n := f.node
	text := []string{n.Description}
	say := func(when bool, format string, values ...any) {
		if when {
			text = append(text, fmt.Sprintf(format, values...))
		}
	}
	say(n.Unit != "", "In %s.", n.Unit)
	say(n.Minimum != nil && n.Maximum != nil, "%s to %s.", number(n.Minimum, 0), number(n.Maximum, 0))
	say(n.Minimum != nil && n.Maximum == nil, "At least %s.", number(n.Minimum, 0))
	low, high := value(n.MinLength), value(n.MaxLength)
	say(high > 0 && low == high, "%d characters.", high)
	say(high > 0 && low != high, "%d to %d characters.", low, high)
	say(n.Pattern != "", "Matches %s.", n.Pattern)
	say(f.initial != "", "Default: %s.", string(n.Default))
	return strings.Join(text, " ")
}
