package schema

import "strings"

// MaxSubjectBytes is the length of the longest subject or pattern.
const MaxSubjectBytes = 255

// CheckSubject reports why a text is no subject: dot-separated tokens of A-Z, a-z, 0-9, _ and -.
func CheckSubject(subject string) error {
	if len(subject) > MaxSubjectBytes {
		return invalid(ReasonBound, "subject", "%d bytes is over the limit of %d", len(subject), MaxSubjectBytes)
	}
	for _, token := range strings.Split(subject, ".") {
		if !IsToken(token) {
			return invalid(ReasonFormat, "subject", "%s: expected dot-separated tokens of A-Z a-z 0-9 _ -", abridged(subject))
		}
	}
	return nil
}

// CheckPattern reports why a text is no pattern: a subject in which * stands for one token, a final > for one or more.
func CheckPattern(pattern string) error {
	if len(pattern) > MaxSubjectBytes {
		return invalid(ReasonBound, "pattern", "%d bytes is over the limit of %d", len(pattern), MaxSubjectBytes)
	}
	tokens := strings.Split(pattern, ".")
	for place, token := range tokens {
		isRest := token == ">" && place == len(tokens)-1
		if !isRest && token != "*" && !IsToken(token) {
			return invalid(ReasonFormat, "pattern", "%s: expected tokens, * for one, a final > for more", abridged(pattern))
		}
	}
	return nil
}

// IsToken says whether a text may stand between two dots of a subject.
func IsToken(text string) bool {
	for _, letter := range []byte(text) {
		isLetter := letter|0x20 >= 'a' && letter|0x20 <= 'z'
		if !isLetter && (letter < '0' || letter > '9') && letter != '_' && letter != '-' {
			return false
		}
	}
	return text != ""
}

// Matches says whether a pattern covers a subject. Both are taken to be valid.
func Matches(pattern, subject string) bool {
	wanted, given := strings.Split(pattern, "."), strings.Split(subject, ".")
	if last := len(wanted) - 1; wanted[last] == ">" {
		if wanted = wanted[:last]; len(given) <= last {
			return false
		}
	} else if len(wanted) != len(given) {
		return false
	}
	for place, token := range wanted {
		if token != "*" && token != given[place] {
			return false
		}
	}
	return true
}

// DeadLetterSubject is where the dead letters of a subject's domain go.
func DeadLetterSubject(subject string) string {
	namespace, rest, _ := strings.Cut(subject, ".")
	domain, _, _ := strings.Cut(rest, ".")
	if domain == "" {
		domain = "unknown"
	}
	return namespace + "._deadletter." + domain
}
