package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"gbe/schema/internal/exact"
)

// A node is a schema, or the part of one that describes a field.
type node struct {
	Title                string
	Description          string
	Type                 types
	Required             []string
	Properties           properties
	PatternProperties    properties
	Items                *node
	AdditionalProperties *node
	Enum                 []string
	Pattern              string
	ContentEncoding      string
	Minimum, Maximum     *json.Number
	MinLength, MaxLength *int
	Default              json.RawMessage
	Unit                 string   `json:"x-unit"`
	Stored               string   `json:"x-stored"`
	Absent               *string  `json:"x-absent"`
	Version              int      `json:"x-version"`
	Subjects             []string `json:"x-subjects"`
}

// types are the values of `type`: one or several, or none for any JSON.
type types []string

func (t *types) UnmarshalJSON(raw []byte) error {
	if raw[0] != '"' {
		return json.Unmarshal(raw, (*[]string)(t))
	}
	*t = types{exact.Text(raw)}
	return nil
}

func (t types) nullable() bool {
	for _, one := range t {
		if one == "null" {
			return true
		}
	}
	return false
}

// name is the type beside null, empty for any JSON.
func (t types) name() string {
	for _, one := range t {
		if one != "null" {
			return one
		}
	}
	return ""
}

// properties keep the order that they have in the file.
type properties []property

type property struct {
	name string
	node node
}

func (p *properties) UnmarshalJSON(raw []byte) error {
	members, _ := exact.Members(raw)
	for _, member := range members {
		one := property{name: member.Name}
		if err := json.Unmarshal(member.Value, &one.node); err != nil {
			return fmt.Errorf("%s: %w", member.Name, err)
		}
		*p = append(*p, one)
	}
	return nil
}

// A schemaFile is one file of schemas/json.
type schemaFile struct {
	name string // such as events/audit-change
	node node
}

func (s schemaFile) domain() string {
	if !strings.Contains(s.name, "/") {
		return "payload"
	}
	return path.Dir(s.name)
}

// isRecord says whether the state store holds it, field by field.
func (s schemaFile) isRecord() bool {
	return len(s.node.Properties) > 0 && s.node.Properties[0].node.Stored != ""
}

func readSchemas(folder string) ([]schemaFile, error) {
	var found []schemaFile
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".json" {
			return err
		}
		one, err := readSchema(folder, file)
		found = append(found, one)
		return err
	})
	sort.Slice(found, func(i, j int) bool { return found[i].name < found[j].name })
	return found, err
}

func readSchema(folder, file string) (schemaFile, error) {
	relative, err := filepath.Rel(folder, file)
	if err != nil {
		return schemaFile{}, err
	}
	one := schemaFile{name: strings.TrimSuffix(filepath.ToSlash(relative), ".json")}
	data, err := os.ReadFile(file)
	if err == nil {
		err = exact.Check(data)
	}
	if err == nil {
		err = json.Unmarshal(data, &one.node)
	}
	if err != nil {
		return one, fmt.Errorf("%s: %w", file, err)
	}
	return one, nil
}
