package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPackages lays out the package "tiny" as registries of many languages
// serve it: packages DIR HOST.
func cmdPackages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: packages DIR HOST")
	}
	dir, host := ts.MkAbs(args[0]), "https://"+args[1]
	crate := tarball(ts, map[string]string{
		"tiny-1.0.0/Cargo.toml": "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\n", "tiny-1.0.0/src/lib.rs": "",
	})
	sum := sha256.Sum256(crate)
	module := tarball(ts, map[string]string{"package/package.json": `{"name": "tiny", "version": "1.0.0"}`})
	short := sha1.Sum(module) // what yarn goes by
	files := map[string][]byte{
		"file": []byte("plain tiny\n"),
		"tiny/index.json": fmt.Appendf(nil, `{"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": "tiny", "version": "1.0.0", "dist": {"tarball": "%s/tiny/-/tiny-1.0.0.tgz", "shasum": "%x"}}}}`,
			host, short),
		"tiny/-/tiny-1.0.0.tgz": module,

		"simple/tiny/index.html": []byte(`<a href="/wheels/tiny-1.0.0-py3-none-any.whl">tiny-1.0.0-py3-none-any.whl</a>`),
		"wheels/tiny-1.0.0-py3-none-any.whl": zipped(ts, map[string]string{
			"tiny.py": "", "tiny-1.0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0.0\n",
			"tiny-1.0.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", "tiny-1.0.0.dist-info/RECORD": "",
		}),

		"crates/config.json":                  fmt.Appendf(nil, `{"dl": "%s/crates/{crate}-{version}.crate"}`, host),
		"crates/ti/ny/tiny":                   fmt.Appendf(nil, `{"name": "tiny", "vers": "1.0.0", "deps": [], "cksum": "%s", "features": {}, "yanked": false}`+"\n", hex.EncodeToString(sum[:])),
		"crates/tiny-1.0.0.crate":             crate,
		"go/example.test/tiny/@v/list":        []byte("v1.0.0\n"),
		"go/example.test/tiny/@v/v1.0.0.info": []byte(`{"Version": "v1.0.0"}`),
		"go/example.test/tiny/@v/v1.0.0.mod":  []byte("module example.test/tiny\n"),
		"go/example.test/tiny/@v/v1.0.0.zip":  zipped(ts, map[string]string{"example.test/tiny@v1.0.0/tiny.go": "package tiny\n"}),

		"maven/test/tiny/1.0.0/tiny-1.0.0.pom": []byte("<project><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>tiny</artifactId><version>1.0.0</version><packaging>pom</packaging></project>"),
		"debian/Packages":                      []byte("Package: tiny\nVersion: 1.0.0\nArchitecture: all\nMaintainer: Ada <ada@example.com>\nFilename: ./tiny.deb\nSize: 0\nDescription: tiny\n\n"),
	}
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		ts.Check(os.WriteFile(path, data, 0o644))
	}
}

// tarball packs files, compressed.
func tarball(ts *testscript.TestScript, files map[string]string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, name := range sortedNames(files) {
		ts.Check(t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}))
		_, err := t.Write([]byte(files[name]))
		ts.Check(err)
	}
	ts.Check(t.Close())
	ts.Check(z.Close())
	return b.Bytes()
}

// zipped packs files.
func zipped(ts *testscript.TestScript, files map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range sortedNames(files) {
		w, err := z.Create(name)
		ts.Check(err)
		_, err = w.Write([]byte(files[name]))
		ts.Check(err)
	}
	ts.Check(z.Close())
	return b.Bytes()
}

func sortedNames(files map[string]string) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// cmdTools puts package managers that test-setup installed from npm on the
// PATH, and says in NEEDED which tools there must be: on a machine that was set
// up by root all of them, to an ordinary user those of the system.
func cmdTools(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: tools")
	}
	dir := filepath.Join(os.Getenv(toolsVar), "node_modules", ".bin")
	if exists(filepath.Join(dir, "pnpm")) {
		ts.Setenv("PATH", ts.Getenv("PATH")+string(os.PathListSeparator)+dir)
	}
	needed := []string{"curl", "wget", "git", "gitssh", "npm", "node", "go"}
	if os.Getuid() == 0 && os.Getenv("CI") == "true" {
		needed = append(needed, "pnpm", "yarn", "bun", "pip", "cargo", "java", "maven", "apt")
	}
	ts.Setenv("NEEDED", strings.Join(needed, " "))
}
