package workspace

import (
	"os"
	"strings"
	"unicode"
)

// Identity is whom commits are by.
type Identity struct {
	Name  string
	Email string
	// Zone is the time zone of the user, such as "+0200".
	Zone string
	// Notice says, when nobody is configured, what stands in and how to fix it.
	Notice string
}

// Identity is the user as git knows them in this repository.
func (r *Repository) Identity() Identity {
	env := r.cfg.Environ
	id := Identity{
		Name:  cleanIdent(firstOf(lookup(env, "GIT_AUTHOR_NAME"), r.settings.value("author.name"), r.settings.value("user.name"))),
		Email: cleanIdent(firstOf(lookup(env, "GIT_AUTHOR_EMAIL"), r.settings.value("author.email"), r.settings.value("user.email"), lookup(env, "EMAIL"))),
		Zone:  r.cfg.Now().Format("-0700"),
	}
	if id.Name != "" && id.Email != "" {
		return id
	}
	user := firstOf(cleanIdent(lookup(env, "USER")), cleanIdent(lookup(env, "LOGNAME")), "nobody")
	id.Name = firstOf(id.Name, user)
	if id.Email == "" {
		host, err := os.Hostname()
		if err != nil || cleanIdent(host) == "" {
			host = "localhost"
		}
		id.Email = user + "@" + cleanIdent(host)
	}
	id.Notice = "git does not know who you are, so commits are by " + id.Name + " <" + id.Email + ">; " +
		`to change that: git config --global user.name "Your Name" && git config --global user.email you@example.com`
	return id
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// cleanIdent removes from a name what git would refuse or strip in an ident.
func cleanIdent(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
	return strings.Trim(s, " .,:;\"'\\")
}
