package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

const root = "../.."

// TestTheGeneratedFilesAreFresh: what lies in the module is what the generator writes now, and nothing else.
func TestTheGeneratedFilesAreFresh(t *testing.T) {
	files, err := generate(filepath.Join(root, ".."))
	if err != nil {
		t.Fatal(err)
	}
	for name, wanted := range files {
		found, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(found, wanted) {
			t.Errorf("%s is not what the generator writes (%v): run go generate in schemas/go", name, err)
		}
	}
	there, err := filepath.Glob(filepath.Join(root, "*_gen.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if _, isWritten := files[filepath.Base(path)]; !isWritten {
			t.Errorf("%s is written by nobody: remove it", path)
		}
	}
}

// TestWhatIsNotSupportedIsRefused: a schema that the generator does not understand is no silent gap.
func TestWhatIsNotSupportedIsRefused(t *testing.T) {
	for name, schema := range map[string]string{
		"another type":              `{"type": "decimal"}`,
		"an enum that may be null":  `{"type": ["string", "null"], "enum": ["a"], "default": null}`,
		"a default of a list":       `{"type": "array", "items": {"type": "string"}, "default": ["a"]}`,
		"the maximum of a fraction": `{"type": "number", "maximum": 1}`,
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			text := `{"title": "Odd", "x-version": 1, "properties": {"odd": ` + schema + `}}`
			if err := os.MkdirAll(filepath.Join(folder, "json"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "json", "odd.json"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if files, err := generate(folder); err == nil {
				t.Errorf("it is generated: %s", files["payload_gen.go"])
			}
		})
	}
}
