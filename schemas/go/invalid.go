package schema

import (
	"fmt"

	"gbe/schema/internal/exact"
)

// MaxDepth is how deep lists and objects of a document may be nested, the document itself included.
const MaxDepth = exact.MaxDepth

// Reason is the class of what is wrong with a payload or record.
type Reason string

const (
	// ReasonSyntax is not one JSON document in UTF-8, or nested deeper than MaxDepth.
	ReasonSyntax Reason = "syntax"
	// ReasonType is a value of another type; of a record's field also bytes that are no text, no digits or no JSON.
	ReasonType Reason = "type"
	// ReasonMissing is a required field that is not there.
	ReasonMissing Reason = "missing"
	// ReasonBound is a number too small or too large, a text too short or too long.
	ReasonBound Reason = "bound"
	// ReasonEnum is not one of the values.
	ReasonEnum Reason = "enum"
	// ReasonFormat does not match the pattern, or is not base64.
	ReasonFormat Reason = "format"
)

// InvalidError says what is wrong with a payload, record, envelope or name, and where.
type InvalidError struct {
	// Reason is the class of the error.
	Reason Reason
	// Path names the field, joined by dots without indexes of lists; empty for the whole.
	Path string
	// Detail says what was expected.
	Detail string
}

// Error is such as "actor: bound: expected 1 to 256 characters, not 300".
func (e *InvalidError) Error() string {
	text := fmt.Sprintf("%s: %s", e.Reason, e.Detail)
	if e.Path == "" {
		return text
	}
	return e.Path + ": " + text
}

func invalid(reason Reason, path, detail string, values ...any) error {
	return &InvalidError{reason, path, fmt.Sprintf(detail, values...)}
}

// abridged keeps hostile input out of messages: quoted, and not at any length.
func abridged(text string) string {
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	return fmt.Sprintf("%q", text)
}
