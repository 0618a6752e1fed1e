package shell

import "strings"

// sed of GNU runs commands: the command e, and the flag e of s///. Only a
// script that is understood from end to end is known to have neither.
func (f *finder) sed(c *call) {
	args := c.args()
	scripts, given := []field(nil), false
	var first *field
	for i := 0; i < len(args); i++ {
		t := args[i].Text
		switch {
		case args[i].loose && t == "":
			f.unknown("sed code")
			return
		case (t == "-e" || t == "--expression") && i+1 < len(args):
			i++
			scripts, given = append(scripts, args[i]), true
		case strings.HasPrefix(t, "--expression="):
			scripts, given = append(scripts, field{Word: Word{strings.TrimPrefix(t, "--expression="), args[i].Known}}), true
		case (t == "-f" || t == "--file") && i+1 < len(args):
			i, given = i+1, true
			f.fedScript(c, args[i])
		case strings.HasPrefix(t, "--file="):
			given = true
			f.fedScript(c, field{Word: Word{strings.TrimPrefix(t, "--file="), args[i].Known}})
		case strings.HasPrefix(t, "--e") || strings.HasPrefix(t, "--fi"):
			f.unknown("sed code") // an option that is cut short
			return
		case t == "-l" || t == "--line-length":
			i++
		case strings.HasPrefix(t, "-") && !strings.HasPrefix(t, "--") && len(t) > 1:
			if next := f.sedCluster(c, args, i, &scripts); next >= 0 {
				i, given = next, true
			}
		case !strings.HasPrefix(t, "-") && first == nil:
			first = &args[i]
		}
	}
	if !given && first != nil {
		scripts = append(scripts, *first)
	}
	for _, s := range scripts {
		f.sedScript(c, s)
	}
}

// sedCluster is -ne SCRIPT, -i.bak and the like; it says where it ended if
// there was a script, else -1.
func (f *finder) sedCluster(c *call, args []field, i int, scripts *[]field) int {
	t := args[i].Text
	for j := 1; j < len(t); j++ {
		switch t[j] {
		case 'i':
			return -1
		case 'e', 'f':
			value := field{Word: Word{t[j+1:], args[i].Known}}
			if value.Text == "" && i+1 < len(args) {
				i++
				value = args[i]
			}
			if t[j] == 'e' {
				*scripts = append(*scripts, value)
			} else {
				f.fedScript(c, value)
			}
			return i
		}
	}
	return -1
}

// fedScript is the file of a script: one that is read from the line itself is
// looked at, and what comes through a pipe is not known.
func (f *finder) fedScript(c *call, file field) {
	switch stdin := file.Text == "-" || stdinFile(file.Text); {
	case file.code, openFile(file.Text) && !stdin:
		f.unknown("sed code")
	case stdin && c.stdin.text.Known:
		f.sedScript(c, field{Word: c.stdin.text})
	case stdin && c.stdin.from != fromOutside:
		f.unknown("sed code")
	}
}

func (f *finder) sedScript(c *call, script field) {
	if !script.Known {
		// "s/$OLD/$NEW/" could hold anything, a flag e included.
		f.unknown("sed code")
		return
	}
	s := sedReader{text: script.Text}
	for s.more() {
		if !s.command() {
			f.unknown("sed code")
			return
		}
	}
	for _, run := range s.runs {
		f.option(c, "sed e", known(run)[0])
	}
}

// sedReader reads a script of sed.
type sedReader struct {
	text string
	at   int
	runs []string
}

func (s *sedReader) more() bool {
	for s.at < len(s.text) && strings.IndexByte(" \t\n;{}", s.text[s.at]) >= 0 {
		s.at++
	}
	return s.at < len(s.text)
}

func (s *sedReader) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *sedReader) skip(set string) {
	for s.at < len(s.text) && strings.IndexByte(set, s.text[s.at]) >= 0 {
		s.at++
	}
}

// line takes the rest of the line.
func (s *sedReader) line() string {
	rest := s.text[s.at:]
	end := strings.IndexByte(rest, '\n')
	if end < 0 {
		end = len(rest)
	}
	s.at += end
	return rest[:end]
}

// section takes the text up to a delimiter. In brackets one is a delimiter
// to GNU and none to others: that is not for us to guess.
func (s *sedReader) section(delimiter byte) bool {
	class := false
	for ; s.at < len(s.text); s.at++ {
		switch ch := s.text[s.at]; ch {
		case '\\':
			s.at++
		case delimiter:
			s.at++
			return !class
		case '[':
			class = true
		case ']':
			class = false
		}
	}
	return false
}

// address takes 1, $, /re/, \,re, and their forms with a step or an offset.
func (s *sedReader) address() bool {
	switch ch := s.peek(); {
	case ch >= '0' && ch <= '9' || ch == '$' || ch == '+' || ch == '~':
		s.at++
		s.skip("0123456789~")
	case ch == '/' || ch == '\\':
		s.at++
		if ch == '\\' {
			if ch = s.peek(); ch == 0 {
				return false
			}
			s.at++
		}
		if !s.section(ch) {
			return false
		}
		s.skip("IM")
	}
	return true
}

// command takes one command. It says false for what it does not know.
func (s *sedReader) command() bool {
	if !s.address() {
		return false
	}
	s.skip(" \t")
	if s.peek() == ',' {
		s.at++
		s.skip(" \t")
		if !s.address() {
			return false
		}
	}
	s.skip(" \t!")
	name := s.peek()
	s.at++
	switch {
	case strings.IndexByte("{}=dDgGhHnNpPxzF\n;", name) >= 0:
		return true
	case strings.IndexByte("lqQL", name) >= 0:
		s.skip(" \t0123456789")
		return true
	case strings.IndexByte("#:rRwWbtTv", name) >= 0:
		if strings.IndexByte("btTv", name) >= 0 {
			for s.at < len(s.text) && strings.IndexByte("\n;}", s.text[s.at]) < 0 {
				s.at++
			}
			return true
		}
		s.line()
		return true
	case strings.IndexByte("aic", name) >= 0:
		s.textLines()
		return true
	}
	return s.rest(name)
}

// rest are the commands with sections: s and y; and e, which runs a line.
func (s *sedReader) rest(name byte) bool {
	switch name {
	case 'e':
		s.runs = append(s.runs, strings.TrimSpace(s.line()))
		return s.runs[len(s.runs)-1] != "" // without one it runs the input
	case 's', 'y':
		delimiter := s.peek()
		s.at++
		if delimiter == 0 || delimiter == '\\' || delimiter == '\n' || !s.section(delimiter) || !s.section(delimiter) {
			return false
		}
		if name == 'y' {
			return true
		}
		s.skip("gpiImM0123456789")
		if s.peek() == 'w' {
			s.line()
		}
		return s.peek() == 0 || strings.IndexByte(" \t\n;}#", s.peek()) >= 0
	}
	return false
}

// textLines takes the text of a, i and c: lines that end in a backslash go on.
func (s *sedReader) textLines() {
	for {
		if line := s.line(); !strings.HasSuffix(line, `\`) || s.at >= len(s.text) {
			return
		}
		s.at++
	}
}
