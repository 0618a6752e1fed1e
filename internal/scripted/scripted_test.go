package scripted

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func get(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func post(t *testing.T, base, path, body string, header ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// ask is a request of a client that offers tools, after n answers.
func ask(goal string, n int, stream bool) string {
	messages := []map[string]any{{"role": "user", "content": goal}}
	for range n {
		messages = append(messages,
			map[string]any{"role": "assistant", "content": []map[string]any{{"type": "text", "text": "x"}}},
			map[string]any{"role": "user", "content": []map[string]any{{"type": "tool_result", "tool_use_id": "t", "content": "y"}}})
	}
	data, err := json.Marshal(map[string]any{
		"model": "m", "stream": stream, "messages": messages, "tools": []any{map[string]any{"name": "Bash"}},
		"system": []map[string]any{{"type": "text", "text": "Primary working directory: /tmp/w d\nmore"}},
	})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func start(t *testing.T, s Script, o ...Option) (*Server, string) {
	t.Helper()
	api := New(s, o...)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return api, server.URL
}

func TestConversation(t *testing.T) {
	script, err := Parse([]byte(`
[[conversations]]
name = "other"
match = { contains = "other goal" }
[[conversations.turns]]
text = "other"
[[conversations]]
match = { contains = "goal" }
[[conversations.turns]]
text = "first"
tools = [{ name = "Write", input = { file_path = "{{cwd}}/a", edits = [{ old = "{{cwd}}" }], n = 3 } }]
[[conversations.turns]]
error = { status = 529, times = 1 }
[[conversations.turns]]
text = "second"
`), ".toml")
	if err != nil {
		t.Fatal(err)
	}
	_, base := start(t, script)
	_, first := post(t, base, "/v1/messages?beta=true", ask("the goal", 0, false))
	for _, want := range []string{`"text":"first"`, `"file_path":"/tmp/w d/a"`, `"old":"/tmp/w d"`, `"stop_reason":"tool_use"`, `"n":3`} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in %s", want, first)
		}
	}
	if status, body := post(t, base, "/v1/messages", ask("the goal", 1, false)); status != 529 || !strings.Contains(body, "overloaded_error") {
		t.Errorf("%d %s", status, body)
	}
	for n, want := range map[int]string{1: "second", 2: "Done.", 7: "Done."} {
		if _, body := post(t, base, "/v1/messages", ask("the goal", n, false)); !strings.Contains(body, want) || !strings.Contains(body, "end_turn") {
			t.Errorf("turn %d: %s", n, body)
		}
	}
	if _, body := post(t, base, "/v1/messages", ask("some other goal", 0, false)); !strings.Contains(body, `"other"`) {
		t.Error(body)
	}
}

func TestStreamCarriesTheSameAnswer(t *testing.T) {
	long := strings.Repeat("häß ", 5000)
	_, base := start(t, Script{Conversations: []Conversation{{Turns: []Turn{{Text: long, Tools: []Tool{{Name: "Bash", Input: map[string]any{"command": long}}}}}}}})
	_, stream := post(t, base, "/v1/messages", ask("x", 0, true))
	var text, input strings.Builder
	var last string
	lines := bufio.NewScanner(strings.NewReader(stream))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e struct {
			Type  string
			Delta struct {
				Text string
				JSON string `json:"partial_json"`
			}
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		text.WriteString(e.Delta.Text)
		input.WriteString(e.Delta.JSON)
		last = e.Type
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(input.String()), &got); err != nil || got["command"] != long || text.String() != long || last != "message_stop" {
		t.Errorf("text %d, input %d, last %q, %v", text.Len(), input.Len(), last, err)
	}
}

func TestAsides(t *testing.T) {
	api, base := start(t, Script{Conversations: []Conversation{{Turns: []Turn{{Text: "main"}}}}})
	tests := map[string]struct{ path, body, want string }{
		"quota":  {"/v1/messages", `{"model":"h","max_tokens":1,"messages":[{"role":"user","content":"quota"}]}`, `"max_tokens"`},
		"title":  {"/v1/messages", `{"model":"h","messages":[{"role":"user","content":"title"}],"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"title":{"type":"string"},"n":{"type":"integer"},"l":{"type":"array"},"b":{"type":"boolean"},"e":{"enum":["a"]}}}}}}`, `\"title\":\"Scripted session\"`},
		"tokens": {"/v1/messages/count_tokens", `{"messages":[]}`, `"input_tokens"`},
		"broken": {"/v1/messages", `{`, "invalid_request_error"},
		"other":  {"/v1/complete", `{}`, "not_found_error"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, body := post(t, base, tt.path, tt.body); !strings.Contains(body, tt.want) {
				t.Error(body)
			}
		})
	}
	res, err := http.DefaultClient.Do(get(t, base+"/v1/models?limit=1"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
	if r := api.Requests(); len(r) != 5 || r[0].Conversation != "" {
		t.Errorf("%d requests", len(r))
	}
}

func TestCredentialIsWanted(t *testing.T) {
	api, base := start(t, Script{}, WithCredential("real"))
	for _, tt := range []struct {
		name, value string
		status      int
	}{
		{"Authorization", "Bearer real", 200}, {"X-Api-Key", "real", 200}, {"Authorization", "Bearer placeholder", 401}, {"X-None", "", 401},
	} {
		if status, _ := post(t, base, "/v1/messages/count_tokens", `{}`, tt.name, tt.value); status != tt.status {
			t.Errorf("%s %s: %d", tt.name, tt.value, status)
		}
	}
	if r := api.Requests(); len(r) != 4 || r[2].Header.Get("Authorization") != "Bearer placeholder" {
		t.Errorf("requests = %v", r)
	}
}

func TestGateHoldsAndOpens(t *testing.T) {
	api, base := start(t, Script{Conversations: []Conversation{{Turns: []Turn{{Text: "through", Gate: "g"}}}}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/messages", strings.NewReader(ask("x", 0, false)))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		t.Error("the gate is open")
	}
	done := make(chan string)
	go func() {
		_, body := post(t, base, "/v1/messages", ask("x", 0, false))
		done <- body
	}()
	api.Open("g")
	api.Open("g")
	if body := <-done; !strings.Contains(body, "through") {
		t.Error(body)
	}
}

func TestScriptsAreChecked(t *testing.T) {
	for name, tt := range map[string]struct{ ext, text string }{
		"unknown key":    {".toml", "conversation = []"},
		"unknown JSON":   {".json", `{"conversations":[{"turn":[]}]}`},
		"tool no name":   {".json", `{"conversations":[{"turns":[{"tools":[{}]}]}]}`},
		"status":         {".json", `{"conversations":[{"turns":[{"error":{"status":200}}]}]}`},
		"pause":          {".json", `{"conversations":[{"turns":[{"pause":"soon"}]}]}`},
		"file extension": {".yaml", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "script"+tt.ext)
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.json")); err == nil {
		t.Error("no error")
	}
}

// What New does to a script must not reach the caller's.
func TestScriptIsLeftAlone(t *testing.T) {
	s := Script{Conversations: []Conversation{{Turns: []Turn{{Error: &Error{Status: 500}}, {Text: "x"}}}}}
	New(s)
	if len(s.Conversations[0].Turns) != 2 || s.Conversations[0].Turns[1].Error != nil {
		t.Errorf("%+v", s)
	}
}

func TestServeBehindTLS(t *testing.T) {
	a, err := NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Certificate("api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- New(Script{}).Serve(ctx, ln, &tls.Config{Certificates: []tls.Certificate{cert}}) }()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.Pool(), ServerName: "api.example.com"}, ForceAttemptHTTP2: true,
	}}
	res, err := client.Do(get(t, fmt.Sprintf("https://%s/v1/models", ln.Addr())))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || !bytes.Contains(a.PEM(), []byte("BEGIN CERTIFICATE")) {
		t.Errorf("%s %s", res.Proto, res.Status)
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := a.Certificate("127.0.0.1"); err != nil {
		t.Error(err)
	}
}

// The copies that are built in are the files of example/.
func TestExampleIsTheExample(t *testing.T) {
	for name, content := range Example() {
		data, err := os.ReadFile(filepath.Join("..", "..", "example", name))
		if err != nil || string(data) != content || content == "" {
			t.Errorf("%s differs from example/%s (%v): copy it to demo/before", name, name, err)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(ask("x", 1, true)))
	f.Add([]byte(`{"tools":[1],"messages":[{"role":"assistant","content":null}],"output_format":{"schema":{"type":"object","properties":{"a":{"type":"object"}}}}}`))
	api := New(Demo().fast())
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/messages", bytes.NewReader(body)))
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// fast is the script without pauses.
func (s Script) fast() Script {
	for _, c := range s.Conversations {
		for i := range c.Turns {
			c.Turns[i].Pause = 0
		}
	}
	return s
}
