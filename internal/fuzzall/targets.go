package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A target is one fuzz function of one package.
type target struct {
	pkg, dir, name string
}

// find returns the fuzz functions of all packages at and below dir whose "PACKAGE.NAME" matches, in the order of packages and names.
func find(ctx context.Context, dir string, only *regexp.Regexp) ([]target, error) {
	list := exec.CommandContext(ctx, "go", "list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles", "./...")
	list.Dir, list.Stderr = dir, os.Stderr
	out, err := list.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := list.Start(); err != nil {
		return nil, err
	}
	var all []target
	for lines := json.NewDecoder(out); ; {
		var p struct {
			Dir, ImportPath           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := lines.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, errors.Join(err, list.Wait())
		}
		for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			names, err := functions(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, errors.Join(err, list.Wait())
			}
			for _, name := range names {
				if t := (target{p.ImportPath, p.Dir, name}); only == nil || only.MatchString(t.String()) {
					all = append(all, t)
				}
			}
		}
	}
	if err := list.Wait(); err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	slices.SortFunc(all, func(a, b target) int { return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name)) })
	return all, nil
}

func (t target) String() string { return t.pkg + "." + t.name }

// functions returns the names of the fuzz functions of a file.
func functions(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") && takesF(fn.Type) {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

// takesF says whether the one parameter is a *testing.F.
func takesF(t *ast.FuncType) bool {
	if t.Params.NumFields() != 1 || t.Results != nil {
		return false
	}
	star, ok := t.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	sel, ok := star.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "F"
}
