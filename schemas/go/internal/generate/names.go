package main

import (
	"strings"
	"unicode"
)

var initialisms = map[string]string{
	"api": "API", "http": "HTTP", "id": "ID", "ms": "MS", "ok": "OK", "ts": "TS", "url": "URL", "v": "V",
}

// exported is a name of the contract as a name in Go: task_id becomes TaskID.
func exported(name string) string {
	var text strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' }) {
		if short, is := initialisms[word]; is {
			text.WriteString(short)
		} else {
			text.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return text.String()
}

// titled is the title of a schema as a name in Go: ApiError becomes APIError.
func titled(title string) string {
	var words []string
	for _, letter := range title {
		if unicode.IsUpper(letter) || len(words) == 0 {
			words = append(words, "")
		}
		words[len(words)-1] += string(unicode.ToLower(letter))
	}
	return exported(strings.Join(words, "_"))
}

// unexported is a name in Go as that of a parameter or variable: TaskID becomes taskID, ID becomes id.
func unexported(name string) string {
	upper := 0
	for upper < len(name) && unicode.IsUpper(rune(name[upper])) {
		upper++
	}
	if upper > 1 && upper < len(name) {
		upper-- // the last capital begins the next word
	}
	return strings.ToLower(name[:upper]) + name[upper:]
}

// parameter is unexported, and no word of the language.
func parameter(name string) string {
	switch text := unexported(name); text {
	case "type", "func", "var", "range", "map":
		return text + "_"
	default:
		return text
	}
}
