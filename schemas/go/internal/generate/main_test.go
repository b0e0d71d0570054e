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

// contractOf is a folder with one schema of one field.
func contractOf(t *testing.T, field string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"json/odd.json":   `{"title": "Odd", "x-version": 1, "required": ["v"], "properties": {"v": {"type": "integer"}, "odd": ` + field + `}}`,
		"redis/write.lua": "return 1\n",
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// TestWhatIsNotSupportedIsRefused: a schema that the generator does not understand is no silent gap.
func TestWhatIsNotSupportedIsRefused(t *testing.T) {
	if _, err := generate(contractOf(t, `{"type": "string", "default": "a"}`)); err != nil {
		t.Fatalf("a usual field is refused: %v", err)
	}
	for name, field := range map[string]string{
		"another type":              `{"type": "decimal"}`,
		"an enum that may be null":  `{"type": ["string", "null"], "enum": ["a"], "default": null}`,
		"a default of a list":       `{"type": "array", "items": {"type": "string"}, "default": ["a"]}`,
		"the maximum of a fraction": `{"type": "number", "maximum": 1}`,
		"a file that is not JSON":   `{`,
	} {
		t.Run(name, func(t *testing.T) {
			if files, err := generate(contractOf(t, field)); err == nil {
				t.Errorf("it is generated: %s", files["payload_gen.go"])
			}
		})
	}
}
