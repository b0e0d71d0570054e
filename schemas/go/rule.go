package schema

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gbe/schema/internal/exact"
)

// A rule is what a schema says of a field. The zero value of a limit on texts is none.
type rule struct {
	name      string
	required  bool
	nullable  bool   // null is absence
	object    bool   // of free-form JSON: it must be an object
	stored    string // how a record's field is bytes: text, decimal, json or bytes
	absent    string // how null is written in a line
	min, max  int64
	low       float64 // of a number that may have a fraction
	minLength int
	maxLength int
	pattern   *regexp.Regexp
	enum      []string
}

var patterns = map[string]*regexp.Regexp{}

// pattern compiles a pattern of a schema, once: in Go, too, `$` is the end of the text unless asked otherwise.
func pattern(text string) *regexp.Regexp {
	if patterns[text] == nil {
		patterns[text] = regexp.MustCompile(text)
	}
	return patterns[text]
}

func (r *rule) integer(raw []byte, path string) (int64, error) {
	text := string(raw)
	if !isNumber(raw) || strings.ContainsAny(text, ".eE") {
		return 0, invalid(ReasonType, path, "expected an integer, not %s", abridged(text))
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, r.outside(text, path)
	}
	return value, nil
}

func (r *rule) outside(text, path string) error {
	return invalid(ReasonBound, path, "expected %d to %d, not %s", r.min, r.max, abridged(text))
}

func float(raw []byte, path string) (float64, error) {
	if !isNumber(raw) {
		return 0, invalid(ReasonType, path, "expected a number, not %s", abridged(string(raw)))
	}
	value, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return 0, invalid(ReasonBound, path, "too large a number: %s", abridged(string(raw)))
	}
	return value, nil
}

// isNumber looks at the first byte, which says what a value is.
func isNumber(raw []byte) bool { return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' }

func text(raw []byte, path string) (string, error) {
	if raw[0] != '"' {
		return "", invalid(ReasonType, path, "expected a text, not %s", abridged(string(raw)))
	}
	return exact.Text(raw), nil
}

func (r *rule) checkInteger(value int64, path string) error {
	if value < r.min || value > r.max {
		return r.outside(strconv.FormatInt(value, 10), path)
	}
	return nil
}

func (r *rule) checkFloat(value float64, path string) error {
	if math.IsNaN(value) || math.IsInf(value, 0) || value < r.low {
		return invalid(ReasonBound, path, "expected a number of at least %g, not %g", r.low, value)
	}
	return nil
}

func (r *rule) checkText(value, path string) error {
	if !utf8.ValidString(value) {
		return invalid(ReasonType, path, "a text is UTF-8")
	}
	if len(r.enum) > 0 && !slices.Contains(r.enum, value) {
		return invalid(ReasonEnum, path, "expected one of %s, not %s", strings.Join(r.enum, ", "), abridged(value))
	}
	count := utf8.RuneCountInString(value)
	if count < r.minLength || r.maxLength > 0 && count > r.maxLength {
		return invalid(ReasonBound, path, "expected %d to %d characters, not %d", r.minLength, r.maxLength, count)
	}
	return r.checkFormat(value, path)
}

func (r *rule) checkFormat(value, path string) error {
	if r.pattern != nil && !r.pattern.MatchString(value) {
		return invalid(ReasonFormat, path, "%s does not match %s", abridged(value), r.pattern)
	}
	return nil
}

// checkJSON looks at free-form JSON, whose meaning is its producer's business.
func (r *rule) checkJSON(raw json.RawMessage, path string) error {
	if len(raw) == 0 {
		return nil
	}
	if err := exact.Check(raw); err != nil {
		return invalid(ReasonType, path, "%s", err)
	}
	if _, isObject := exact.Members(raw); r.object && !isObject {
		return invalid(ReasonType, path, "expected an object")
	}
	return nil
}

func (r *rule) checkTexts(values map[string]string, path string) error {
	for name, value := range values {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return invalid(ReasonType, path, "a text is UTF-8")
		}
		if err := r.checkFormat(value, path); err != nil {
			return err
		}
	}
	return nil
}
