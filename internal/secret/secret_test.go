package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"agentprocess/internal/sandbox"
)

const (
	token = "sk-ant-oat01-ZZZZaaaa1111-bbbb_cccc2222ddddEEEEffffGGGGhhhhIIIIjjjjKKKKllllMMMMnnnnOOOOppppQQQQrrrrSSSS-tttUUAA"
	key   = "sk-ant-api03-0123456789"
)

var noon = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

func credential(t *testing.T, kind Kind, value string) Credential {
	t.Helper()
	c, err := New(kind, value, noon)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func store(t *testing.T) Store {
	t.Helper()
	return Store{Dir: filepath.Join(t.TempDir(), "config", "credentials"), UID: os.Geteuid()}
}

func TestStoreKeepsACredential(t *testing.T) {
	s := store(t)
	if _, err := s.Load(); !errors.Is(err, ErrMissing) || sandbox.ErrorCode(err) != sandbox.CodeCredential {
		t.Fatalf("err = %v", err)
	}
	for _, value := range []string{token, token + "2"} {
		if err := s.Save(credential(t, KindOAuth, " "+value+"\n")); err != nil {
			t.Fatal(err)
		}
		c, err := s.Load()
		if err != nil || c.Value.Reveal() != value || c.Kind != KindOAuth || !c.Stored.Equal(noon) || c.Source != "stored" {
			t.Fatalf("credential = %+v, %v", c, err)
		}
	}
	for path, want := range map[string]fs.FileMode{s.Dir: 0o700, filepath.Join(s.Dir, credentialFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if err := errors.Join(s.Remove(), s.Remove()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); !errors.Is(err, ErrMissing) {
		t.Errorf("err = %v", err)
	}
}

func TestStoreRefusesWhatOthersCouldRead(t *testing.T) {
	tests := map[string]func(t *testing.T, s Store) error{
		"file for the group":  func(_ *testing.T, s Store) error { return os.Chmod(filepath.Join(s.Dir, credentialFile), 0o640) },
		"file for all":        func(_ *testing.T, s Store) error { return os.Chmod(filepath.Join(s.Dir, credentialFile), 0o604) },
		"directory for all":   func(_ *testing.T, s Store) error { return os.Chmod(s.Dir, 0o755) },
		"symlink to a file":   replaceBy(func(from, to string) error { return os.Symlink(from, to) }),
		"directory as a file": replaceBy(func(_, to string) error { return os.Mkdir(to, 0o700) }),
		"damaged": func(_ *testing.T, s Store) error {
			return os.WriteFile(filepath.Join(s.Dir, credentialFile), []byte(`{"version":1,"value":"`+token), 0o600)
		},
		"another version": func(_ *testing.T, s Store) error {
			return os.WriteFile(filepath.Join(s.Dir, credentialFile), []byte(`{"version":2,"value":"`+token+`"}`), 0o600)
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := store(t)
			if err := s.Save(credential(t, KindOAuth, token)); err != nil {
				t.Fatal(err)
			}
			if err := spoil(t, s); err != nil {
				t.Fatal(err)
			}
			_, err := s.Find([]string{"ANTHROPIC_API_KEY=" + key})
			if sandbox.ErrorCode(err) != sandbox.CodeCredential || errors.Is(err, ErrMissing) || strings.Contains(err.Error(), "oat01") {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func replaceBy(put func(from, to string) error) func(*testing.T, Store) error {
	return func(t *testing.T, s Store) error {
		t.Helper()
		path, moved := filepath.Join(s.Dir, credentialFile), filepath.Join(t.TempDir(), "moved")
		return errors.Join(os.Rename(path, moved), put(moved, path))
	}
}

func TestStoreRefusesAForeignOwner(t *testing.T) {
	s := store(t)
	if err := s.Save(credential(t, KindOAuth, token)); err != nil {
		t.Fatal(err)
	}
	s.UID++
	if _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "belongs to uid") {
		t.Errorf("err = %v", err)
	}
}

func TestRootSavesForItsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can see this: got an ordinary user")
		return
	}
	s := store(t)
	s.UID = 58232
	if err := s.Save(credential(t, KindOAuth, token)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); err != nil {
		t.Error(err)
	}
}

func TestFindInTheEnvironment(t *testing.T) {
	tests := map[string]struct {
		environ []string
		kind    Kind
		missing bool
	}{
		"oauth":        {[]string{"CLAUDE_CODE_OAUTH_TOKEN=" + token}, KindOAuth, false},
		"key":          {[]string{"ANTHROPIC_API_KEY=" + key}, KindAPIKey, false},
		"bearer":       {[]string{"ANTHROPIC_AUTH_TOKEN=abc"}, KindBearer, false},
		"both":         {[]string{"CLAUDE_CODE_OAUTH_TOKEN=" + token, "ANTHROPIC_API_KEY=" + key}, KindAPIKey, false},
		"empty":        {[]string{"ANTHROPIC_API_KEY= "}, "", true},
		"nothing":      nil2(),
		"another name": {[]string{"MY_ANTHROPIC_API_KEY=" + key}, "", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := store(t).Find(tt.environ)
			if errors.Is(err, ErrMissing) != tt.missing || c.Kind != tt.kind {
				t.Fatalf("credential = %+v, %v", c, err)
			}
			if !tt.missing && (c.Source != tt.kind.Env() || !c.Stored.IsZero()) {
				t.Errorf("credential = %+v", c)
			}
		})
	}
	if _, err := store(t).Find([]string{"ANTHROPIC_API_KEY=two words"}); err == nil || strings.Contains(err.Error(), "two words") {
		t.Errorf("err = %v", err)
	}
}

func nil2() (none struct {
	environ []string
	kind    Kind
	missing bool
},
) {
	none.missing = true
	return none
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]struct {
		kind  Kind
		value string
	}{
		"empty":        {KindOAuth, " "},
		"line break":   {KindAPIKey, "a\nb"},
		"not ASCII":    {KindAPIKey, "schlüssel"},
		"long":         {KindBearer, strings.Repeat("x", 9<<10)},
		"token as key": {KindAPIKey, token},
		"key as token": {KindOAuth, key},
		"unknown kind": {"password", "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := New(tt.kind, tt.value, noon); err == nil || tt.value != " " && strings.Contains(err.Error(), tt.value) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

// However a credential is printed, its value is not.
func TestNothingPrintsTheValue(t *testing.T) {
	c := credential(t, KindOAuth, token)
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{string(data), fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %q %x", c, c, c.Value, c.Value, c.Value)} {
		if strings.Contains(out, "oat01") || strings.Contains(out, fmt.Sprintf("%x", "oat01")) {
			t.Errorf("printed: %s", out)
		}
	}
}

func TestStandIn(t *testing.T) {
	for kind, prefix := range map[Kind]string{KindOAuth: "sk-ant-oat01-", KindAPIKey: "sk-ant-api03-", KindBearer: "agentprocess-"} {
		c := credential(t, kind, map[Kind]string{KindOAuth: token, KindAPIKey: key, KindBearer: "abc"}[kind])
		a, b := c.StandIn(), c.StandIn()
		if a == b || !strings.HasPrefix(a, prefix) || strings.Contains(a, c.Value.Reveal()) || len(a) < 90 {
			t.Errorf("%s: %q, %q", kind, a, b)
		}
	}
	if name, prefix := KindAPIKey.Header(); name != "X-Api-Key" || prefix != "" {
		t.Errorf("header = %q %q", name, prefix)
	}
	if name, prefix := KindOAuth.Header(); name != "Authorization" || prefix != "Bearer " {
		t.Errorf("header = %q %q", name, prefix)
	}
}

// api answers every request in one way and counts.
func api(t *testing.T, status int, body string) (base string, requests *[]http.Header) {
	t.Helper()
	requests = &[]http.Header{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests = append(*requests, r.Header.Clone())
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func fail(message string) string {
	return `{"type":"error","error":{"type":"x","message":"` + message + `"}}`
}

func TestStatusIsAsked(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   State
		reason string
	}{
		"ok":              {200, `{"data":[]}`, StateValid, ""},
		"too many":        {429, fail("slow down"), StateValid, ""},
		"scope":           {403, fail("OAuth token does not meet scope requirement user:profile"), StateValid, ""},
		"expired":         {401, fail("OAuth token has expired"), StateExpired, "401: OAuth token has expired"},
		"wrong":           {401, "<html>", StateExpired, "no reason given"},
		"revoked":         {403, fail("OAuth token has been revoked. Please obtain a new token."), StateExpired, "revoked"},
		"blocked":         {403, fail("Request not allowed"), StateUnverified, "403"},
		"no such address": {404, "", StateUnverified, "404"},
		"broken":          {500, fail(`evil \u001b[31m text`), StateUnverified, "evil  [31m text"},
		"redirect":        {302, "", StateUnverified, "302"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			base, requests := api(t, tt.status, tt.body)
			k := Checker{Client: http.DefaultClient, Now: func() time.Time { return noon }}
			s := k.Status(t.Context(), credential(t, KindOAuth, token), base)
			if s.State != tt.want || !strings.Contains(s.Reason, tt.reason) || strings.Contains(s.Reason, "\x1b") {
				t.Errorf("status = %+v", s)
			}
			if len(*requests) != 1 || (*requests)[0].Get("Authorization") != "Bearer "+token || (*requests)[0].Get("Anthropic-Beta") == "" {
				t.Errorf("requests = %v", *requests)
			}
		})
	}
}

func TestStatusWithoutAnAnswer(t *testing.T) {
	k := Checker{Client: http.DefaultClient, Now: time.Now}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := k.Status(ctx, credential(t, KindAPIKey, key), "http://127.0.0.1:1")
	if s.State != StateUnverified || s.Reason == "" || strings.Contains(s.Reason, "api03") {
		t.Errorf("status = %+v", s)
	}
	if s := k.Status(ctx, Credential{}, "http://127.0.0.1:1"); s.State != StateMissing {
		t.Errorf("status = %+v", s)
	}
}

func TestStatusKnowsTheEnd(t *testing.T) {
	base, _ := api(t, 200, "{}")
	tests := map[string]struct {
		kind Kind
		age  time.Duration
		want State
	}{
		"young":    {KindOAuth, time.Hour, StateValid},
		"15 days":  {KindOAuth, Lifetime - 15*24*time.Hour, StateValid},
		"13 days":  {KindOAuth, Lifetime - 13*24*time.Hour, StateExpiring},
		"overdue":  {KindOAuth, Lifetime + time.Hour, StateExpiring},
		"API keys": {KindAPIKey, 2 * Lifetime, StateValid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			value := map[Kind]string{KindOAuth: token, KindAPIKey: key}[tt.kind]
			k := Checker{Client: http.DefaultClient, Now: func() time.Time { return noon.Add(tt.age) }}
			if s := k.Status(t.Context(), credential(t, tt.kind, value), base); s.State != tt.want {
				t.Errorf("status = %+v", s)
			}
		})
	}
}

func TestStatusIsRemembered(t *testing.T) {
	s := store(t)
	now := noon
	k := Checker{Client: http.DefaultClient, Cache: s.CheckFile(), UID: s.UID, Now: func() time.Time { return now }}
	base, requests := api(t, 200, "{}")
	check := func(what string, c Credential, want int) {
		t.Helper()
		if st := k.Status(t.Context(), c, base); st.State != StateValid || len(*requests) != want {
			t.Errorf("%s: %+v after %d requests, want %d", what, st, len(*requests), want)
		}
	}
	c := credential(t, KindOAuth, token)
	check("first", c, 1)
	check("again", c, 1)
	now = now.Add(59 * time.Minute)
	check("within the hour", c, 1)
	check("another credential", credential(t, KindAPIKey, key), 2)
	check("the first again", c, 3)
	now = now.Add(2 * time.Hour)
	check("later", c, 4)
	k.Fresh = true
	check("on demand", c, 5)
	k.Fresh = false
	data, err := os.ReadFile(s.CheckFile())
	if err != nil || strings.Contains(string(data), token) {
		t.Errorf("cache = %s, %v", data, err)
	}
	if info, err := os.Stat(s.CheckFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("cache: %v, %v", info, err)
	}
	k.Fresh = true
	bad, _ := api(t, 401, "")
	if st := k.Status(t.Context(), c, bad); st.State != StateExpired {
		t.Errorf("status = %+v", st)
	}
	if _, err := os.Stat(s.CheckFile()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old good answer is left: %v", err)
	}
}

func TestParseSetupToken(t *testing.T) {
	wrap := func(width int, end string) string {
		var b strings.Builder
		for rest := token; rest != ""; {
			n := min(width, len(rest))
			b.WriteString(rest[:n] + end)
			rest = rest[n:]
		}
		return b.String()
	}
	tests := map[string]struct {
		output string
		ok     bool
	}{
		"plain":       {"Your OAuth token (valid for 1 year):\n\n" + token + "\n\nStore this token securely.\n", true},
		"coloured":    {"\x1b[33m" + token + "\x1b[39m\r\n", true},
		"wrapped":     {"Your token:\r\n\r\n" + wrap(80, "\r\n") + "\r\nStore this\r\n", true},
		"narrow":      {wrap(40, "\x1b[0m\r\n\x1b[33m") + "\r\nDone", true},
		"quoted":      {"export CLAUDE_CODE_OAUTH_TOKEN=" + token + " # keep", true},
		"drawn twice": {token[:50] + "\r\n\r\n\x1b[2J" + token + "\r\n\r\n" + token + "\r\n", true},
		"with OSC":    {"\x1b]8;;https://x/\x07" + token + "\x1b]8;;\x1b\\\n", true},
		"cut":         {token[:40], false},
		"none":        {"Login failed\n", false},
		"empty":       {"", false},
		"another":     {key, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseSetupToken([]byte(tt.output))
			if tt.ok && (err != nil || got.Reveal() != token) || !tt.ok && !errors.Is(err, ErrNoToken) {
				t.Errorf("%q, %v", got.Reveal(), err)
			}
		})
	}
}

func FuzzParseSetupToken(f *testing.F) {
	f.Add([]byte("\x1b[33m" + token + "\x1b[39m\r\n"))
	f.Add([]byte(token[:80] + "\r\n" + token[80:] + "\r\n\r\n"))
	f.Fuzz(func(t *testing.T, output []byte) {
		got, err := ParseSetupToken(output)
		if err != nil {
			return
		}
		if _, err := New(KindOAuth, got.Reveal(), noon); err != nil {
			t.Errorf("a token that is none: %v", err)
		}
	})
}

// What the API's host answers is shown on a terminal.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"invalid x-api-key"}}`))
	f.Add([]byte(`{"error":{"message":"a\u001b]0;b\u009b"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		text := message(body)
		if text == "" || len(text) > 303 || !utf8.ValidString(text) {
			t.Errorf("%q became %q", body, text)
		}
		if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
			t.Errorf("%q has a control character at %d", text, i)
		}
		judge(403, text)
	})
}
