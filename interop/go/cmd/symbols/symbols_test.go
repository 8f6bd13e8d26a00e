package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const source = `package shop

import "io"

const (
	Open State = iota
	closed
)

var ErrEmpty, errFull error

type State int

func (State) String() string { return "" }

type Shop struct {
	io.Reader
	*State
	Name, owner string
	mu int
}

func New() *Shop { return nil }

func open() {}

func (s *Shop) Sell() {}

func (s *Shop) count() int { return 0 }

type Till interface {
	Count() int
	reset()
}

type till struct{ Coins int }

func (till) Count() int { return 0 }

type List[T any] struct{ Items []T }

func (l *List[T]) Len() int { return 0 }
`

var symbols = []string{
	"shop.Open", "shop.ErrEmpty", "shop.State", "shop.State.String", "shop.Shop", "shop.Shop.Reader",
	"shop.Shop.State", "shop.Shop.Name", "shop.New", "shop.Shop.Sell", "shop.Till", "shop.Till.Count",
	"shop.List", "shop.List.Items", "shop.List.Len",
}

func TestExportedSymbolsAreFound(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "shop.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	if found := exported("shop", []*ast.File{file}); !slices.Equal(found, symbols) {
		t.Errorf("found %v, not %v", found, symbols)
	}
}

func TestTestsAndOtherSystemsAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop.go":       "package shop\n\nfunc New() {}\n",
		"shop_test.go":  "package shop\n\nfunc Helper() {}\n",
		"shop_plan9.go": "package shop\n\nfunc Plan9() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := exportedIn("shop", dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(found, []string{"shop.New"}) {
		t.Errorf("found %v", found)
	}
}

// guide has a row for each group of symbols.
func guide(groups ...string) string {
	var text strings.Builder
	text.WriteString("# Guide\n\nSee `shop.Nothing`.\n\n| Go | here |\n|:--|---|\n")
	for _, group := range groups {
		text.WriteString("| " + group + " | `Shop::sell` |\n")
	}
	return text.String()
}

func each(symbols []string) []string {
	rows := make([]string, len(symbols))
	for i, symbol := range symbols {
		rows[i] = "`" + symbol + "`"
	}
	return rows
}

func TestTheGuideMustNameEachSymbolOnce(t *testing.T) {
	all := each(symbols)
	for name, test := range map[string]struct {
		guide    string
		problems []string
	}{
		"complete":      {guide(all...), nil},
		"in one group":  {guide(strings.Join(all, ", ")), nil},
		"in two tables": {guide(all[:5]...) + "\ntext\n" + guide(all[5:]...), nil},
		"missing": {
			guide(all[2:]...),
			[]string{"shop.ErrEmpty is missing", "shop.Open is missing"},
		},
		"surplus": {
			guide(append(slices.Clone(all), "`shop.Shop.owner`, `Open`")...),
			[]string{"line 22: shop.Shop.owner does not exist", "line 22: Open does not exist"},
		},
		"double": {
			guide(append(slices.Clone(all), "`shop.Open`")...),
			[]string{"line 22: shop.Open is already in line 7"},
		},
		"double in one row": {
			guide(append([]string{"`shop.Open`, `shop.Open`"}, all[1:]...)...),
			[]string{"line 7: shop.Open is already in line 7"},
		},
		"no symbol": {
			guide(append(slices.Clone(all), "shop.Open")...),
			[]string{"line 22: the row names no symbol"},
		},
		"in other tables and in code": {
			guide(all...) + "\n| fault | here |\n|---|---|\n| `shop.Open` | |\n\n```go\n| Go | |\n| `x` | |\n```\n",
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if problems := compare(symbols, readGuide(test.guide)); !slices.Equal(problems, test.problems) {
				t.Errorf("found %q, not %q", problems, test.problems)
			}
		})
	}
}

func TestCellsHoldEscapedBars(t *testing.T) {
	rows := readGuide("| Go | here |\n|---|---|\n| `shop.Open` | `A::b` \\| `C` | `D` |\n")
	if len(rows) != 1 || !slices.Equal(rows[0].here, []string{"A::b", "C"}) {
		t.Errorf("read %v", rows)
	}
}

func TestUnknownRustNamesAreWarnings(t *testing.T) {
	dir := t.TempDir()
	text := "pub struct Shop {}\nimpl Shop {\n    pub async fn sell(&self) {}\n}\npub enum Kind {\n    Open(Shop),\n}\npub const MAX: u8 = 1;\n"
	if err := os.WriteFile(filepath.Join(dir, "shop.rs"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := rustNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	here := "`Shop::sell`, `actorgrid::Kind::Open`, `MAX`, `.sell(x)`, `Shop::buy`, `Store`"
	rows := readGuide("| Go | here |\n|---|---|\n| `shop.Open` | " + here + " |\n")
	warnings := unknownRust(rows, known)
	wanted := []string{"3: Shop::buy: nothing here is named buy", "3: Store: nothing here is named Store"}
	if !slices.Equal(warnings, wanted) {
		t.Errorf("found %q, not %q", warnings, wanted)
	}
}
