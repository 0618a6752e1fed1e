package scripted

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
)

// messages is the part of a request to the Messages API that scripts look at.
type messages struct {
	Model     string          `json:"model"`
	MaxTokens int             `json:"max_tokens"`
	Stream    bool            `json:"stream"`
	System    content         `json:"system"`
	Messages  []message       `json:"messages"`
	Tools     []any           `json:"tools"`
	Metadata  metadata        `json:"metadata"`
	Output    json.RawMessage `json:"output_config"`
	Format    json.RawMessage `json:"output_format"`
}

type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

type metadata struct {
	UserID string `json:"user_id"`
}

// content is text, written as a string or as a list of blocks; other blocks
// are passed over.
type content string

// UnmarshalJSON implements json.Unmarshaler.
func (c *content) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = content(text)
		return nil
	}
	var blocks []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &blocks); err != nil {
		return err
	}
	var b strings.Builder
	for _, block := range blocks {
		if block.Type == "text" {
			b.WriteString(block.Text)
			b.WriteByte('\n')
		}
	}
	*c = content(b.String())
	return nil
}

// firstUser is the text that started the conversation.
func (m messages) firstUser() string {
	for _, msg := range m.Messages {
		if msg.Role == "user" {
			return string(msg.Content)
		}
	}
	return ""
}

// turn is how many answers the model has given so far: runs of assistant
// messages, for clients that send one answer in parts.
func (m messages) turn() int {
	n, last := 0, ""
	for _, msg := range m.Messages {
		if msg.Role == "assistant" && last != "assistant" {
			n++
		}
		if msg.Role == "user" || msg.Role == "assistant" {
			last = msg.Role
		}
	}
	return n
}

var workingDirectory = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)[Ww]orking directory(?: is)?: *(/[^\r\n<]*)`) })

// cwd is the working directory the client told the model, "." if none.
func (m messages) cwd() string {
	texts := []string{string(m.System)}
	for _, msg := range m.Messages {
		texts = append(texts, string(msg.Content))
	}
	for _, text := range texts {
		if found := workingDirectory().FindStringSubmatch(text); found != nil {
			return strings.TrimSpace(found[1])
		}
	}
	return "."
}

// key names the conversation this request is part of, across its turns.
func (m messages) key() string {
	sum := sha256.Sum256([]byte(m.Metadata.UserID + "\x00" + m.firstUser()))
	return hex.EncodeToString(sum[:6])
}

// fits says whether the request is one that the match is for.
func (c Match) fits(m messages) bool {
	return (c.Bare || len(m.Tools) > 0) &&
		strings.Contains(m.firstUser(), c.Contains) &&
		strings.Contains(m.Model, c.Model) &&
		strings.Contains(string(m.System), c.System)
}

// schema is the JSON schema that the answer must fit, if the request has one.
func (m messages) schema() map[string]any {
	for _, raw := range []json.RawMessage{m.Format, m.Output} {
		var f struct {
			Schema map[string]any `json:"schema"`
			Format struct {
				Schema map[string]any `json:"schema"`
			} `json:"format"`
		}
		if len(raw) == 0 || json.Unmarshal(raw, &f) != nil {
			continue
		}
		if f.Schema != nil {
			return f.Schema
		}
		if f.Format.Schema != nil {
			return f.Format.Schema
		}
	}
	return nil
}

// instance is a small value that fits the usual schemas of structured output;
// depth bounds a schema that nests without end.
func instance(schema map[string]any, depth int) any {
	if enum, ok := schema["enum"].([]any); ok && len(enum) > 0 {
		return enum[0]
	}
	switch schema["type"] {
	case "object":
		out := map[string]any{}
		properties, _ := schema["properties"].(map[string]any)
		for name, p := range properties {
			if sub, ok := p.(map[string]any); ok && depth > 0 {
				out[name] = instance(sub, depth-1)
			}
		}
		return out
	case "array":
		return []any{}
	case "boolean":
		return false
	case "integer", "number":
		return 0
	default:
		return "Scripted session"
	}
}
