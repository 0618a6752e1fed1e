// Package docs holds the pages that the program itself can print, so that what
// it says and what is written here cannot drift apart.
//
//	fmt.Print(docs.Egress())
//
// It must not hold anything but pages.
package docs

import _ "embed"

//go:embed egress.md
var egress string

// Egress is the page about what agents may reach: the grammar of its rules.
func Egress() string { return egress }
