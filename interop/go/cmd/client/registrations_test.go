package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/lytics/grid/v3/registry"
)

// The registrations that the tests of our library have recorded.
const golden = "../../../../crates/actorgrid/src/registry/registration/tests/golden.txt"

// The library reads a registration with encoding/json, and so does this test.
func TestReadsEachRegistrationOfOurLibrary(t *testing.T) {
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		program, value, _ := strings.Cut(line, " ")
		if program == "#" {
			continue
		}
		var registration registry.Registration
		if err := json.Unmarshal([]byte(value), &registration); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		// The library writes the fields that it knows, which come first.
		written, err := json.Marshal(&registration)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(value, strings.TrimSuffix(string(written), "}")) {
			t.Errorf("%s is read as %s", value, written)
		}
		if program == "go" && value != string(written) {
			t.Errorf("%s is written as %s", value, written)
		}
		read++
	}
	if read != 13 {
		t.Errorf("%d registrations", read)
	}
}
