package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A row of one of the guide's tables of symbols.
type row struct {
	line int
	// The Go symbols of the first column.
	symbols []string
	// The code of the second column.
	here []string
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// readGuide reads the tables of symbols, whose first column is headed "Go". Each code span in that
// column is a symbol. Tables with another heading, and fenced code, count as text.
func readGuide(text string) []row {
	var rows []row
	fence, inTable, isOurs := "", false, false
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if fence != "" {
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
			continue
		}
		if strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~") {
			fence, inTable = trimmed[:3], false
			continue
		}
		if !strings.HasPrefix(trimmed, "|") {
			inTable = false
			continue
		}
		cells := cellsOf(trimmed)
		switch {
		case !inTable:
			inTable, isOurs = true, cells[0] == "Go"
		case isOurs && strings.Trim(cells[0], ":-") != "":
			read := row{line: i + 1, symbols: spans(cells[0])}
			if len(cells) > 1 {
				read.here = spans(cells[1])
			}
			rows = append(rows, read)
		}
	}
	return rows
}

func cellsOf(line string) []string {
	// An escaped bar belongs to its cell.
	line = strings.ReplaceAll(line, `\|`, "\x00")
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i, cell := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|"))
	}
	return cells
}

func spans(cell string) []string {
	var texts []string
	for _, match := range codeSpan.FindAllStringSubmatch(cell, -1) {
		texts = append(texts, match[1])
	}
	return texts
}

// compare reports the problems of the rows, in the order of the guide, and then the missing
// symbols.
func compare(symbols []string, rows []row) []string {
	exists := make(map[string]bool)
	for _, symbol := range symbols {
		exists[symbol] = true
	}
	var problems []string
	first := make(map[string]int)
	for _, row := range rows {
		if len(row.symbols) == 0 {
			problems = append(problems, fmt.Sprintf("line %d: the row names no symbol", row.line))
		}
		for _, symbol := range row.symbols {
			if line, twice := first[symbol]; twice {
				problems = append(problems, fmt.Sprintf("line %d: %s is already in line %d", row.line, symbol, line))
				continue
			}
			first[symbol] = row.line
			if !exists[symbol] {
				problems = append(problems, fmt.Sprintf("line %d: %s does not exist", row.line, symbol))
			}
		}
	}
	missing := slices.DeleteFunc(slices.Clone(symbols), func(symbol string) bool { return first[symbol] != 0 })
	slices.Sort(missing)
	for _, symbol := range slices.Compact(missing) {
		problems = append(problems, symbol+" is missing")
	}
	return problems
}
