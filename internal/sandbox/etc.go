package sandbox

import (
	"cmp"
	"fmt"
)

// Etc are the files of /etc that every sandbox finds made up: those of the host,
// or of an image, would tell who lives there, or do not fit inside.
func (s Spec) Etc() []File {
	id, host := s.Identity, cmp.Or(s.Hostname, "sandbox")
	name := cmp.Or(id.Name, "agent")
	text := func(name, data string) File { return File{Path: "/etc/" + name, Data: []byte(data), Mode: 0o444} }
	return []File{
		text("passwd", fmt.Sprintf("root:x:0:0:root:/:/usr/sbin/nologin\n%s:x:%d:%d:agent:%s:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
			name, id.UID, id.GID, cmp.Or(s.Home, "/"))),
		text("group", fmt.Sprintf("root:x:0:\n%s:x:%d:\nnogroup:x:65534:\n", name, id.GID)),
		text("hosts", fmt.Sprintf("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%s\n", host)),
		text("hostname", host+"\n"),
		text("resolv.conf", "nameserver 127.0.0.1\noptions edns0 timeout:2 attempts:2\n"),
	}
}
