package patch

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"agentprocess/internal/term"
)

// language is as much of one as colours need.
type language struct {
	comment []string // what begins one that ends with the line
	block   [2]string
	quotes  string // each ends a string that it begins
	words   map[string]bool
}

// piece is a part of a line with one look.
type piece struct {
	text  string
	style term.Style
}

// keywords of many languages; that some are names elsewhere does little harm.
const (
	cWords = "break case catch class const continue default defer delete do else enum export extends false final finally fn for func function go goto if " +
		"implements import in instanceof interface let match mod mut namespace new nil null of package private protected pub public range return select " +
		"self static struct super switch this throw true try type typeof undefined use using var virtual void where while yield async await impl trait " +
		"int string bool byte float double long char error uint unsigned signed any"
	scriptWords = "and as assert async await break case class continue def del do done elif else end esac except export false False fi finally for from function " +
		"global if import in is lambda local module None not null or pass raise require return self then true True try unless until when while with yield"
	sqlWords = "add all alter and as begin by case commit create default delete desc distinct drop else end exists foreign from group having in index insert " +
		"into is join key left like limit not null on or order primary references right select set table then trigger union unique update values view when where"
)

// languageOf guesses one by the name of a file.
func languageOf(name string) *language {
	slashes := func(words string) *language {
		return &language{comment: []string{"//"}, block: [2]string{"/*", "*/"}, quotes: "\"'`", words: set(words)}
	}
	hash := &language{comment: []string{"#"}, quotes: "\"'", words: set(scriptWords)}
	base := strings.ToLower(path.Base(name))
	switch ext := path.Ext(base); ext {
	case ".go", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".java", ".kt", ".kts", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".rs", ".swift", ".scala", ".php",
		".dart", ".proto", ".groovy", ".gradle", ".zig", ".m", ".css", ".scss", ".json", ".jsonc":
		return slashes(cWords)
	case ".py", ".rb", ".sh", ".bash", ".zsh", ".fish", ".pl", ".r", ".yml", ".yaml", ".toml", ".ini", ".cfg", ".conf", ".tf", ".mk", ".nix", ".cmake", ".ex", ".exs", ".jl":
		return hash
	case ".sql":
		l := &language{comment: []string{"--"}, block: [2]string{"/*", "*/"}, quotes: "'\"", words: set(sqlWords)}
		for w := range set(sqlWords) {
			l.words[strings.ToUpper(w)] = true
		}
		return l
	case ".lua", ".hs", ".elm":
		return &language{comment: []string{"--"}, quotes: "\"'", words: set(cWords + " " + scriptWords)}
	case ".html", ".xml", ".svg", ".vue", ".md":
		return &language{block: [2]string{"<!--", "-->"}, words: map[string]bool{}}
	}
	switch base {
	case "makefile", "gnumakefile", "dockerfile", "jenkinsfile", "gemfile", "rakefile", "justfile", ".gitignore", ".gitattributes", ".envrc", "procfile":
		return hash
	}
	return &language{}
}

func set(words string) map[string]bool {
	all := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		all[w] = true
	}
	return all
}

// highlight cuts a line, made visible already, into pieces. What goes on over
// several lines is known for block comments only, and only within a hunk: open
// says that one is, and is kept for the next line.
func (l *language) highlight(line string, open *bool) []piece {
	var out []piece
	add := func(text string, style term.Style) {
		if text != "" {
			out = append(out, piece{text, style})
		}
	}
	for line != "" {
		var text string
		var style term.Style
		switch {
		case *open:
			text, style = l.closeBlock(line, open), term.StyleDim
		case l.block[0] != "" && strings.HasPrefix(line, l.block[0]):
			*open = true
			text, style = l.block[0]+l.closeBlock(line[len(l.block[0]):], open), term.StyleDim
		case l.commentAt(line):
			text, style = line, term.StyleDim
		case l.quotes != "" && strings.IndexByte(l.quotes, line[0]) >= 0:
			text, style = quoted(line), term.StyleYellow
		default:
			text = word(line)
			switch {
			case l.words[text]:
				style = term.StyleCyan
			case l.words != nil && text[0] >= '0' && text[0] <= '9':
				style = term.StyleMagenta
			}
		}
		add(text, style)
		line = line[len(text):]
	}
	return out
}

func (l *language) commentAt(line string) bool {
	for _, c := range l.comment {
		if strings.HasPrefix(line, c) {
			return true
		}
	}
	return false
}

// closeBlock is the part of a line that belongs to an open block comment.
func (l *language) closeBlock(line string, open *bool) string {
	i := strings.Index(line, l.block[1])
	if i < 0 {
		return line
	}
	*open = false
	return line[:i+len(l.block[1])]
}

// quoted is a string with its quotes, as far as the line goes.
func quoted(line string) string {
	for i := 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case line[0]:
			return line[:i+1]
		}
	}
	return line
}

// word is a name or a number at the beginning of a line, or else one letter.
func word(line string) string {
	i := 0
	for i < len(line) {
		r, size := utf8.DecodeRuneInString(line[i:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		i += size
	}
	if i == 0 {
		_, i = utf8.DecodeRuneInString(line)
	}
	return line[:i]
}
