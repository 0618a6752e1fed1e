package inspect

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// noise is a random text without a meaning, and no placeholder.
func noise(alphabet string, n int) string {
	var b strings.Builder
	state := uint32(2463534242)
	for range n {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		b.WriteByte(alphabet[int(state)%len(alphabet)])
	}
	return b.String()
}

const (
	alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	hex   = "0123456789abcdef"
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// one is an example of each rule: texts are put together here, so that this
// file holds no secret itself.
func one() map[string]string {
	return map[string]string{
		"a private key":                      "-----BEGIN RSA " + "PRIVATE KEY-----\n" + noise(alnum, 64) + "\n" + noise(alnum, 64) + "\n-----END RSA " + "PRIVATE KEY-----",
		"an age key":                         "AGE-SECRET-KEY-1" + noise("ACDEFGHJKLMNPQRSTUVWXYZ0234567", 58),
		"an AWS access key":                  "id = AKIA" + noise(upper, 16),
		"a GitHub token":                     "ghp_" + noise(alnum, 36),
		"a GitLab token":                     "glpat-" + noise(alnum, 20),
		"a Slack token":                      "xoxb-" + noise("0123456789", 12) + "-" + noise(alnum, 24),
		"a Slack webhook":                    "https://hooks.slack.com/services/T" + noise(upper, 9) + "/B" + noise(upper, 9) + "/" + noise(alnum, 24),
		"a Stripe key":                       "sk_live_" + noise(alnum, 24),
		"a Google API key":                   "AIza" + noise(alnum, 35),
		"a Google client secret":             "GOCSPX-" + noise(alnum, 28),
		"a Google access token":              "ya29." + noise(alnum, 60),
		"an Anthropic key":                   "sk-ant-api03-" + noise(alnum, 90),
		"an OpenAI key":                      "sk-proj-" + noise(alnum, 60),
		"an npm token":                       "npm_" + noise(alnum, 36),
		"a package registry's token":         "//registry.example/:_authToken=" + noise(hex, 36),
		"a PyPI token":                       "pypi-AgEIcHlwaS5vcmc" + noise(alnum, 80),
		"a SendGrid key":                     "SG." + noise(alnum, 22) + "." + noise(alnum, 43),
		"a Twilio key":                       "twilio: SK" + noise(hex, 32),
		"a DigitalOcean token":               "dop_v1_" + noise(hex, 64),
		"a Hugging Face token":               "hf_" + noise(alnum, 34),
		"a Databricks token":                 "dapi" + noise(hex, 32),
		"a Shopify token":                    "shpat_" + noise(hex, 32),
		"a HashiCorp Vault token":            "hvs." + noise(alnum, 90),
		"a Telegram bot's token":             noise("123456789", 9) + ":AA" + noise(alnum, 33),
		"an Azure storage key":               "AccountName=x;AccountKey=" + noise(alnum, 86) + "==",
		"a Doppler token":                    "dp.pt." + noise(alnum, 43),
		"a Sentry token":                     "sntrys_" + noise(alnum, 100),
		"a Docker Hub token":                 "dckr_pat_" + noise(alnum, 27),
		"a Linear key":                       "lin_api_" + noise(alnum, 40),
		"a Fly.io token":                     "fm2_" + noise(alnum, 60),
		"a password in an address":           "postgres://app:" + noise(alnum, 12) + "@db/app",
		"something that looks like a secret": "client_secret: \"" + noise(alnum, 32) + "\"",
	}
}

func TestEveryRuleFinds(t *testing.T) {
	s := NewScanner(Policy{})
	examples := one()
	for _, r := range rules() {
		text, ok := examples[r.name]
		if !ok {
			t.Errorf("no example of %s", r.name)
			continue
		}
		found := s.Scan("x.conf", []byte("first line\n"+text+"\nlast line\n"))
		if len(found) == 0 || found[0].Line != 2 {
			t.Errorf("%s: found %+v in %q", r.name, found, text)
		}
		for _, f := range found {
			if strings.Contains(f.Reason(), f.Secret) {
				t.Errorf("%s: the reason tells the secret", r.name)
			}
		}
	}
}

// What honest files are full of must not be held.
func TestNoSecrets(t *testing.T) {
	s := NewScanner(Policy{})
	for _, text := range []string{
		`password = "changeme"`, `api_key: "YOUR_API_KEY_GOES_HERE"`, `token := os.Getenv("GITHUB_TOKEN")`, `AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE`,
		`secretName: "my-application-tls-certificate"`, `"integrity": "sha512-` + noise(alnum, 86) + `=="`, `h1:` + noise(alnum, 43) + `=`,
		`postgres://user:password@localhost/db`, `https://user:${PASSWORD}@example.com/`, `tokenizer_class = "PreTrainedTokenizerFast"`,
		`-----BEGIN PUBLIC KEY-----`, `strings.Contains(s, "-----BEGIN RSA PRIVATE KEY-----")`, `author = "Ada Lovelace <ada@example.com>"`,
		`authorization: "application/vnd.docker.distribution.v2"`, `const tokenTypeIdentifier = "TOKEN_TYPE_IDENTIFIER_NAME"`, `credential_path: "/var/run/secrets/kubernetes.io/serviceaccount/token"`,
		`sk-learn-extra-package-name`, `commit ` + noise(hex, 40), `uuid "123e4567-e89b-12d3-a456-426614174000"`, `http://127.0.0.1:8080/a@b`,
	} {
		if found := s.Scan("x", []byte(text)); len(found) > 0 {
			t.Errorf("%q: %s", text, found[0].Reason())
		}
	}
}

func TestSecretFiles(t *testing.T) {
	s := NewScanner(Policy{Allow: []string{"fixtures/**"}})
	for name, want := range map[string]bool{
		".env": true, "a/.env.local": true, "prod.env": true, ".env.example": false, "env": false, "a/id_ed25519": true, "id_ed25519.pub": false,
		"home/.aws/credentials": true, "credentials": false, "x.aws/credentials": false, ".AWS/Credentials": true, "store.p12": true, "fixtures/.env": false, "main.go": false,
		".netrc": true, "terraform.tfstate": true, "environment.ts": false,
	} {
		if got := s.SecretFile(name); (got != "") != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A secret is found wherever it stands in a large file, once, with its line.
func TestLargeFiles(t *testing.T) {
	s := NewScanner(Policy{})
	token := "ghp_" + noise(alnum, 36)
	for _, at := range []int{0, window - overlap - 20, window - 20, 3*window + 7} {
		data := bytes.Repeat([]byte("0123456\n"), 4*window/8)
		copy(data[at&^7:], "\n"+token+"\n")
		found := s.Scan("x", data)
		if want := at&^7/8 + 2; len(found) != 1 || found[0].Line != want {
			t.Errorf("at %d: %+v, want line %d", at, found, want)
		}
	}
}

func TestPolicy(t *testing.T) {
	mine := Policy{Actions: map[Kind]Action{Secrets: Flag, Builds: Hold}, Allow: []string{"x"}}
	got := mine.Narrow(Policy{Actions: map[Kind]Action{Secrets: Hold, Builds: Flag, CI: Refuse}, MaxFile: 100, Allow: []string{"**/*.go"}})
	for k, want := range map[Kind]Action{Secrets: Hold, Builds: Hold, CI: Refuse, Large: Hold, Editors: Flag} {
		if a := got.Action(k); a != want {
			t.Errorf("%s: %s, want %s", k, a, want)
		}
	}
	if got.Limit() != 100 || got.Narrow(Policy{MaxFile: 1 << 40}).Limit() != 100 || fmt.Sprint(got.Allow) != "[x]" {
		t.Errorf("narrowed: %+v", got)
	}
	if a := (Policy{Actions: map[Kind]Action{Secrets: "ignore"}}).Action(Secrets); a != Hold {
		t.Errorf("a word that is none: %s", a)
	}
	for glob, ok := range map[string]bool{"testdata/**": true, "**": false, "": false, "/x": false, "!x": false, "[": false, "**/*": false, "*_test.go": true} {
		if err := CheckAllow(glob); (err == nil) != ok {
			t.Errorf("%q: %v", glob, err)
		}
	}
}

// FuzzScan scans hostile text.
func FuzzScan(f *testing.F) {
	for _, text := range one() {
		f.Add("x", []byte(text))
	}
	s := NewScanner(Policy{})
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		lines := bytes.Count(data, []byte("\n")) + 1
		for _, found := range s.Scan(name, data) {
			if found.Line < 1 || found.Line > lines || found.Secret == "" || !bytes.Contains(plain(data), []byte(found.Secret)) {
				t.Errorf("%+v of %d lines", found, lines)
			}
		}
		s.SecretFile(name)
	})
}

func BenchmarkScan(b *testing.B) {
	s := NewScanner(Policy{})
	data := []byte(strings.Repeat("func (s *Server) token(ctx context.Context) (string, error) { return s.auth.Token(ctx, \"name\") }\n", 10_000))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s.Scan("x.go", data)
	}
}
