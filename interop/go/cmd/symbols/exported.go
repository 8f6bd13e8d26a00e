package main

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// exportedIn lists the exported symbols of the package in a folder: see [exported]. It skips tests
// and files that are not built on this platform.
func exportedIn(pkg, dir string) ([]string, error) {
	built, err := build.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range built.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return exported(pkg, files), nil
}

// exported lists what a user of the package can name: its exported functions, types, constants and
// variables as `pkg.Name`, and the exported methods, fields and interface methods of its exported
// types as `pkg.Type.Name`. It skips the members of unexported types.
func exported(pkg string, files []*ast.File) []string {
	var symbols []string
	add := func(names ...string) {
		for _, name := range names {
			if !ast.IsExported(name) {
				return
			}
		}
		symbols = append(symbols, pkg+"."+strings.Join(names, "."))
	}
	for _, file := range files {
		for _, declaration := range file.Decls {
			switch declaration := declaration.(type) {
			case *ast.FuncDecl:
				if declaration.Recv == nil {
					add(declaration.Name.Name)
				} else {
					add(typeName(declaration.Recv.List[0].Type), declaration.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range declaration.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							add(name.Name)
						}
					case *ast.TypeSpec:
						add(spec.Name.Name)
						for _, member := range members(spec.Type) {
							add(spec.Name.Name, member)
						}
					}
				}
			}
		}
	}
	return symbols
}

// members returns the fields of a struct and the methods of an interface. An embedded type counts
// by its name alone.
func members(of ast.Expr) []string {
	var fields *ast.FieldList
	switch of := of.(type) {
	case *ast.StructType:
		fields = of.Fields
	case *ast.InterfaceType:
		fields = of.Methods
	default:
		return nil
	}
	var names []string
	for _, field := range fields.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
		if len(field.Names) == 0 {
			names = append(names, typeName(field.Type))
		}
	}
	return names
}

// typeName returns the name of a type as a receiver or an embedded field has it, or an empty string
// for other types.
func typeName(of ast.Expr) string {
	switch of := of.(type) {
	case *ast.Ident:
		return of.Name
	case *ast.StarExpr:
		return typeName(of.X)
	case *ast.ParenExpr:
		return typeName(of.X)
	case *ast.SelectorExpr:
		return of.Sel.Name
	case *ast.IndexExpr:
		return typeName(of.X)
	case *ast.IndexListExpr:
		return typeName(of.X)
	default:
		return ""
	}
}
