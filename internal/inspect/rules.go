package inspect

import "strings"

// rule is a shape of secrets. The first group of the pattern, or else all of
// it, is the secret.
type rule struct {
	name    string
	words   []string // in lower case: where one of them stands, the pattern is tried
	pattern string   // of what begins with the word; or, with a check, of what follows it
	entropy float64  // the least, in bits a byte
	check   func(secret string) bool
}

// rules are the shapes, those of one service first. Add one with a line in the
// table of the tests; keep the words rare, they are what makes it fast.
func rules() []rule {
	return append([]rule{
		{name: "a private key", words: []string{"-----begin"}, pattern: `-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|[\s"'+,])*[A-Za-z0-9+/=:, \-\\\n\r"']{60}`},
		{name: "an age key", words: []string{"age-secret-key-1"}, pattern: `AGE-SECRET-KEY-1[0-9A-Z]{58}\b`},
		{name: "an AWS access key", words: []string{"akia", "asia", "abia", "acca"}, pattern: `((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b`, entropy: 3},
		{name: "a GitHub token", words: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, pattern: `gh[pousr]_[0-9A-Za-z]{36,}\b`, entropy: 3},
		{name: "a GitHub token", words: []string{"github_pat_"}, pattern: `github_pat_\w{60,}\b`, entropy: 3},
		{name: "a GitLab token", words: []string{"glpat-", "gldt-", "glrt-", "glptt-", "glcbt-"}, pattern: `gl(?:pat|dt|rt|ptt|cbt)-[\w-]{20,}`, entropy: 3},
		{name: "a Slack token", words: []string{"xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxs-", "xoxr-", "xapp-"}, pattern: `x(?:ox[abeprs]|app)-(?:[0-9A-Za-z]+-)+[0-9A-Za-z-]{10,}`, entropy: 2.5},
		{name: "a Slack webhook", words: []string{"hooks.slack.com"}, pattern: `hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{40,}`},
		{name: "a Stripe key", words: []string{"sk_live_", "rk_live_", "sk_test_", "rk_test_"}, pattern: `[sr]k_(?:live|test)_[0-9A-Za-z]{16,}\b`, entropy: 3},
		{name: "a Google API key", words: []string{"aiza"}, pattern: `AIza[\w-]{35}`, entropy: 3},
		{name: "a Google client secret", words: []string{"gocspx-"}, pattern: `GOCSPX-[\w-]{28}`, entropy: 3},
		{name: "a Google access token", words: []string{"ya29."}, pattern: `ya29\.[\w-]{30,}`, entropy: 3},
		{name: "an Anthropic key", words: []string{"sk-ant-"}, pattern: `sk-ant-[a-z]+[0-9]*-[\w-]{24,}`, entropy: 3},
		{name: "an OpenAI key", words: []string{"sk-"}, pattern: `sk-[\w-]{16,}T3BlbkFJ[\w-]{16,}`},
		{name: "an OpenAI key", words: []string{"sk-proj-", "sk-svcacct-", "sk-admin-"}, pattern: `sk-(?:proj|svcacct|admin)-[\w-]{40,}`, entropy: 3.5},
		{name: "an npm token", words: []string{"npm_"}, pattern: `npm_[0-9A-Za-z]{36}\b`, entropy: 3},
		{name: "a package registry's token", words: []string{":_authtoken", ":_password"}, pattern: `:_(?:authToken|password)[ \t]*=[ \t]*"?([^\s"$]{12,})`, entropy: 2.5},
		{name: "a PyPI token", words: []string{"pypi-ageichlwas5vcmc"}, pattern: `pypi-AgEIcHlwaS5vcmc[\w-]{50,}`},
		{name: "a SendGrid key", words: []string{"sg."}, pattern: `SG\.[\w-]{22}\.[\w-]{43}\b`, entropy: 3},
		{name: "a Twilio key", words: []string{"twilio"}, pattern: `(?i:twilio)[^\n]{0,40}\b(SK[0-9a-f]{32})\b`, entropy: 3},
		{name: "a DigitalOcean token", words: []string{"dop_v1_", "doo_v1_", "dor_v1_"}, pattern: `do[opr]_v1_[a-f0-9]{64}\b`, entropy: 3},
		{name: "a Hugging Face token", words: []string{"hf_"}, pattern: `hf_[A-Za-z0-9]{34,}\b`, entropy: 3},
		{name: "a Databricks token", words: []string{"dapi"}, pattern: `dapi[a-f0-9]{32}\b`, entropy: 3},
		{name: "a Shopify token", words: []string{"shpat_", "shpca_", "shppa_", "shpss_"}, pattern: `shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b`},
		{name: "a HashiCorp Vault token", words: []string{"hvs.", "hvb."}, pattern: `hv[sb]\.[\w-]{24,}`, entropy: 3.3},
		{name: "a Telegram bot's token", words: []string{":aa"}, pattern: `:AA[\w-]{33}\b`, entropy: 3.5},
		{name: "an Azure storage key", words: []string{"accountkey="}, pattern: `(?i)AccountKey=([A-Za-z0-9+/]{86}==)`},
		{name: "a Doppler token", words: []string{"dp."}, pattern: `dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}`, entropy: 3.3},
		{name: "a Sentry token", words: []string{"sntrys_", "sntryu_"}, pattern: `sntry[su]_[\w+/=-]{60,}`, entropy: 3},
		{name: "a Docker Hub token", words: []string{"dckr_pat_"}, pattern: `dckr_pat_[\w-]{27}\b`, entropy: 3},
		{name: "a Linear key", words: []string{"lin_api_"}, pattern: `lin_api_[0-9A-Za-z]{40}\b`, entropy: 3},
		{name: "a Fly.io token", words: []string{"fm1_", "fm2_", "fo1_"}, pattern: `(?:fm[12]|fo1)_[\w+/=-]{43,}`, entropy: 3.3},
	}, general()...)
}

// general are shapes of no service: they ask for more, and are why a person may
// name files that are not looked into.
func general() []rule {
	words := []string{"secret", "token", "passw", "pwd", "api_key", "apikey", "api-key", "access_key", "accesskey", "access-key", "private_key", "privatekey", "credential", "auth"}
	return []rule{
		{name: "a password in an address", words: []string{"://"}, pattern: `[^\s:/@"'<>]+:([^\s/@"'<>]{6,})@[^\s"'<>]`, entropy: 2.3, check: notVariable},
		{name: "something that looks like a secret", words: words, pattern: "[\\w.-]*[\"'`]?[ \\t]*(?::=|=>|=|:)[ \\t]*[\"'`]([A-Za-z0-9+/=_.~-]{16,})[\"'`]", entropy: 3.6, check: random},
		{name: "something that looks like a secret", words: words, pattern: `[\w.-]*=([A-Za-z0-9+/=_.~-]{16,})[ \t\r]*(?:\n|\z)`, entropy: 3.5, check: random},
	}
}

// notVariable reports whether a password is written out and not put in later.
func notVariable(s string) bool {
	return !strings.ContainsAny(s, "${}()") && !strings.EqualFold(s, "password") && !strings.EqualFold(s, "passwd")
}

// random reports whether a text is not made of words: it has digits and letters,
// changes between them, and reads like no path, name or version.
func random(s string) bool {
	if len(s) > 400 {
		return false
	}
	digits, letters, changes, last := 0, 0, 0, byte(0)
	for i := range len(s) {
		class := byte('.')
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			class = '0'
		case c >= 'a' && c <= 'z':
			letters++
			class = 'a'
		case c >= 'A' && c <= 'Z':
			letters++
			class = 'A'
		}
		if i > 0 && class != last {
			changes++
		}
		last = class
	}
	if digits < 2 || letters < 4 || strings.Count(s, ".") > 2 || strings.Count(s, "/") > 3 {
		return false
	}
	return changes*4 >= len(s)
}
