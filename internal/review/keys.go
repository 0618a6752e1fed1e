package review

import (
	"strings"
	"unicode/utf8"
)

// The keys that have names; others are the text that they type.
const (
	keyUp       = "up"
	keyDown     = "down"
	keyPageUp   = "page up"
	keyPageDown = "page down"
	keyHome     = "home"
	keyEnd      = "end"
	keyEnter    = "enter"
	keyErase    = "erase"
	keyKill     = "kill"
	keyWord     = "word"
	keyEscape   = "escape"
)

// Keys reads what a terminal sends. What it sends for a key of no name here is
// none.
func Keys(typed []byte) []string {
	var keys []string
	for text := string(typed); text != ""; {
		if rest, found := strings.CutPrefix(text, "\x1b"); found {
			name, more := sequence(rest)
			if name != "" {
				keys = append(keys, name)
			}
			text = more
			continue
		}
		_, size := utf8.DecodeRuneInString(text)
		key := text[:size]
		switch {
		case key == "\r" || key == "\n":
			key = keyEnter
		case key == "\x7f" || key == "\b":
			key = keyErase
		case key == "\x15":
			key = keyKill
		case key == "\x17":
			key = keyWord
		case key < " " || !utf8.ValidString(key):
			key = ""
		}
		if key != "" {
			keys = append(keys, key)
		}
		text = text[size:]
	}
	return keys
}

// sequence reads what follows an escape: ESC [ parameters final, or ESC O final.
func sequence(text string) (name, rest string) {
	if text == "" || text[0] != '[' && text[0] != 'O' {
		return keyEscape, text
	}
	end := 1
	for end < len(text) && (text[end] < '@' || text[end] > '~') {
		end++
	}
	if end == len(text) {
		return "", ""
	}
	names := map[string]string{
		"A": keyUp, "B": keyDown, "H": keyHome, "F": keyEnd, "5~": keyPageUp, "6~": keyPageDown, "1~": keyHome, "4~": keyEnd, "7~": keyHome, "8~": keyEnd,
	}
	return names[text[1:end+1]], text[end+1:]
}
