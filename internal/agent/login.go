package agent

// LoginHosts are the rules that `claude setup-token` cannot work without: where
// it sends a person's browser, and where it trades the code for a token.
func LoginHosts() []string {
	return []string{"claude.ai", "platform.claude.com", "console.anthropic.com", "api.anthropic.com"}
}

// LoginEnv is the environment of a login.
func LoginEnv() []string { return quiet() }

// BaseURL is where the API is: what the user let through or has set, or the
// public one.
func BaseURL(environ, env []string) string {
	for _, list := range [][]string{env, environ} {
		if base := lookup(list, envBaseURL); base != "" {
			return base
		}
	}
	return defaultAPI
}
