package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Tree is the Go source of a module.
type Tree struct {
	Files []File
}

// File is one Go file.
type File struct {
	Path    string // relative to the root, with slashes
	Package string // the name in its package clause
	Lines   int
	Test    bool
	// Comment says that a package comment stands in it.
	Comment    bool
	Functions  []Function
	Structs    []Type
	Interfaces []Type
	// Exported and Documented count exported declarations.
	Exported, Documented int
	// Calls are the functions of other packages that it names, "time.Sleep".
	Calls map[string]int
}

// Function is one function or method.
type Function struct {
	Name       string
	Line       int
	Lines      int
	Parameters int
}

// Type is a struct and its fields or an interface and its methods.
type Type struct {
	Name    string
	Line    int
	Members int
}

// Read parses the Go files below root that are ours: no testdata, no hidden
// directories, no other modules.
func Read(root string) (Tree, error) {
	var t Tree
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && foreign(filepath.Join(root, path), d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		f, err := read(root, path)
		t.Files = append(t.Files, f)
		return err
	})
	if err != nil {
		return Tree{}, fmt.Errorf("read tree: %w", err)
	}
	return t, nil
}

func foreign(dir, name string) bool {
	if name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func read(root, path string) (File, error) {
	src, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return File{}, err
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, err
	}
	f := File{
		Path: path, Package: parsed.Name.Name, Lines: bytes.Count(src, []byte("\n")),
		Test: strings.HasSuffix(path, "_test.go"), Comment: parsed.Doc != nil, Calls: map[string]int{},
	}
	r := reader{set: set, file: &f}
	for _, d := range parsed.Decls {
		r.declaration(d)
	}
	ast.Inspect(parsed, r.call)
	return f, nil
}

// reader fills a File from its syntax.
type reader struct {
	set  *token.FileSet
	file *File
}

func (r reader) line(p token.Pos) int { return r.set.Position(p).Line }

func (r reader) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type)) {
			r.exported(d.Name, d.Doc)
		}
		r.file.Functions = append(r.file.Functions, Function{
			Name: d.Name.Name, Line: r.line(d.Pos()), Lines: r.line(d.End()) - r.line(d.Pos()) + 1,
			Parameters: d.Type.Params.NumFields(),
		})
	case *ast.GenDecl:
		for _, s := range d.Specs {
			r.spec(s, d.Doc)
		}
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr: // a generic type
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func (r reader) spec(s ast.Spec, group *ast.CommentGroup) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		r.exported(s.Name, group, s.Doc)
		switch kind := s.Type.(type) {
		case *ast.StructType:
			r.file.Structs = append(r.file.Structs, Type{s.Name.Name, r.line(s.Pos()), kind.Fields.NumFields()})
		case *ast.InterfaceType:
			r.file.Interfaces = append(r.file.Interfaces, Type{s.Name.Name, r.line(s.Pos()), kind.Methods.NumFields()})
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			r.exported(name, group, s.Doc, s.Comment)
		}
	}
}

// exported counts a name; a comment on the group of declarations counts.
func (r reader) exported(name *ast.Ident, comments ...*ast.CommentGroup) {
	if !name.IsExported() {
		return
	}
	r.file.Exported++
	for _, c := range comments {
		if c != nil {
			r.file.Documented++
			return
		}
	}
}

func (r reader) call(n ast.Node) bool {
	if s, ok := n.(*ast.SelectorExpr); ok {
		if pkg, ok := s.X.(*ast.Ident); ok {
			r.file.Calls[pkg.Name+"."+s.Sel.Name]++
		}
	}
	return true
}
