"""The table of cases against Go's own ``text/template``, where Go is installed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from tests.unit.templates.cases import CASES, DATA, FAILS, INVALID

_GO = shutil.which("go")
_PROGRAM: Final = """
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

func outcome(source string, data interface{}) string {
	t, err := template.New("").Parse(source)
	if err != nil {
		return "(invalid)"
	}
	var out strings.Builder
	if err := t.Execute(&out, data); err != nil {
		return "(fails)"
	}
	return out.String()
}

func main() {
	var input struct {
		Data    interface{}
		Sources []string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		panic(err)
	}
	results := []string{}
	for _, source := range input.Sources {
		results = append(results, outcome(source, input.Data))
	}
	json.NewEncoder(os.Stdout).Encode(results)
}
"""


@pytest.mark.skipif(_GO is None, reason="Go is not installed")
def test_go_prints_what_the_table_says(tmp_path: Path) -> None:
    """So the table is Go's behaviour, not what we believe of it."""
    (tmp_path / "main.go").write_text(_PROGRAM)
    (tmp_path / "go.mod").write_text("module cases\n\ngo 1.21\n")
    sources = [source for source, _ in CASES]
    shown = subprocess.run(
        [str(_GO), "run", "."],
        cwd=tmp_path,
        input=json.dumps({"data": json.loads(DATA), "sources": sources}),
        capture_output=True,
        text=True,
        check=True,
    )
    differing = [
        (source, expected, actual)
        for (source, expected), actual in zip(CASES, json.loads(shown.stdout), strict=True)
        if actual != expected and not {actual, expected} <= {FAILS, INVALID}
    ]
    assert not differing
