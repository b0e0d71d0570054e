// Command generate writes the Go types of the contract from its JSON Schemas: go generate in the module's root.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

func main() {
	schemas := flag.String("schemas", "..", "folder with json and redis")
	into := flag.String("into", ".", "folder of the Go files")
	flag.Parse()
	if err := run(*schemas, *into); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(schemas, into string) error {
	files, err := generate(schemas)
	for name, text := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(into, name), text, 0o644)
		}
	}
	return err
}

// generate returns every generated file by its name.
func generate(folder string) (map[string][]byte, error) {
	schemas, err := readSchemas(filepath.Join(folder, "json"))
	if err != nil {
		return nil, err
	}
	domains := map[string][]schemaFile{}
	var all []schemaFile
	for _, one := range schemas {
		if one.name == "envelope" { // written by hand: what it is in Go depends on the engine's codecs
			continue
		}
		all = append(all, one)
		domains[one.domain()] = append(domains[one.domain()], one)
	}
	files := map[string][]byte{}
	for _, domain := range sorted(domains) {
		if files[domain+"_gen.go"], err = domainFile(domains[domain]); err != nil {
			return nil, err
		}
	}
	if files["registry_gen.go"], err = registryFile(all); err != nil {
		return nil, err
	}
	script, err := os.ReadFile(filepath.Join(folder, "redis", "write.lua"))
	if err != nil {
		return nil, err
	}
	files["script_gen.go"], err = scriptFile(script)
	return files, err
}

func sorted(domains map[string][]schemaFile) []string {
	var names []string
	for name := range domains {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
