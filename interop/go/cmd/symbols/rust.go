package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	// Definitions in the library: items, and lines that begin like an enum variant, a field or an
	// argument of a macro.
	rustItem = regexp.MustCompile(`\b(?:fn|struct|enum|trait|const|type)\s+([A-Za-z_]\w*)`)
	rustLine = regexp.MustCompile(`(?m)^\s*(?:pub\s+)?([A-Za-z_]\w*)\s*(?:$|[,:({=])`)
	// A path that begins with a type, like `Client::request`, or a constant.
	rustPath = regexp.MustCompile(`^(?:actorgrid::)?([A-Z]\w*(?:::\w+)*)`)
)

// rustNames returns the words that the source below a folder defines.
func rustNames(dir string) (map[string]bool, error) {
	names := make(map[string]bool)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".rs" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, pattern := range []*regexp.Regexp{rustItem, rustLine} {
			for _, match := range pattern.FindAllStringSubmatch(string(text), -1) {
				names[match[1]] = true
			}
		}
		return nil
	})
	return names, err
}

// unknownRust reports the paths of the second column with a word that the library does not define.
func unknownRust(rows []row, known map[string]bool) []string {
	var warnings []string
	for _, row := range rows {
		for _, code := range row.here {
			path := rustPath.FindStringSubmatch(code)
			if path == nil {
				continue
			}
			for _, word := range strings.Split(path[1], "::") {
				if !known[word] {
					warnings = append(warnings, fmt.Sprintf("%d: %s: nothing here is named %s", row.line, code, word))
					break
				}
			}
		}
	}
	return warnings
}
