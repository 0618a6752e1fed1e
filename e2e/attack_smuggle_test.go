package e2e

// hostAttacks name one host here and another there.
func hostAttacks() []attack {
	return []attack{
		{saysOneHost, "capitals", `./probe tls GOOD.Example:443 good.example good.example`, `.*hello from good\.example`},
		{saysOneHost, "dot at the end", `./probe tls good.example.:443 good.example good.example`, `.*hello from good\.example`},
		{saysOneHost, "capitals in SNI", `./probe tls good.example:443 GOOD.EXAMPLE good.example`, `.*hello from good\.example`},
		{saysOneHost, "internationalised name", `./probe tls xn--bcher-kva.example:443 xn--bcher-kva.example xn--bcher-kva.example`, `.*hello from xn--bcher-kva\.example`},
		{saysOneHost, "internationalised name in capitals", `./probe tls XN--BCHER-KVA.example:443 xn--bcher-kva.example xn--bcher-kva.example`, `.*hello from xn--bcher-kva\.example`},
		{saysOneHost, "look-alike", connect("gооd.example:443"), malformed},
		{saysOneHost, "invisible character", connect("good\u200b.evil.example:443"), malformed},
		{saysOneHost, "invalid punycode", connect("xn--a.example:443"), malformed},
		{saysOneHost, "sni of another", `./probe tls good.example:443 evil.example good.example`, alerted},
		{saysOneHost, "sni of another that is listed", `./probe tls good.example:443 listed.example listed.example`, alerted},
		{saysOneHost, "sni below", `./probe tls good.example:443 x.good.example good.example`, alerted},
		{saysOneHost, "no sni", `./probe tls good.example:443 - good.example`, alerted},
		{saysOneHost, "no TLS", `./probe raw tcp 127.0.0.1:3128 'CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\nGET / HTTP/1.1\r\nHost: good.example\r\n\r\n'`, `.*HTTP/1\.1 403 .*`},
		{saysOneHost, "SSH on the port of TLS", `./probe raw tcp 127.0.0.1:3128 'CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\nSSH-2.0-evil\r\n'`, `.*(200 Connection established|reset by peer).*`},
		{saysOneHost, "connect and its host header", send(`CONNECT good.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n`), refused},
		{saysOneHost, "connect to the other, host header listed", send(`CONNECT evil.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\n`), refused},
		{saysOneHost, "url and host header", get("http://plain.example/", "evilplain.example"), malformed},
		{saysOneHost, "host header listed, url not", get("http://evilplain.example/", "plain.example"), malformed},
		{saysOneHost, "origin form with a host header", send(`GET / HTTP/1.1\r\nHost: plain.example\r\n\r\n`), malformed},
		{saysOneHost, "two host headers", send(`GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nHost: evilplain.example\r\n\r\n`), malformed},
		{saysOneHost, "user name before the host", get("http://plain.example@evilplain.example/", "evilplain.example"), malformed},
		{saysOneHost, "user name in connect", connect("good.example:443@evil.example:443"), malformed},
		{saysOneHost, "backslash", get(`http://plain.example\\@evilplain.example/`, "plain.example"), malformed},
		{saysOneHost, "zero byte", connect(`good.example\x00.evil.example:443`), malformed},
		{saysOneHost, "percent", connect("good%2eexample:443"), malformed},
		{saysOneHost, "no port", connect("good.example"), malformed},
		{saysOneHost, "empty port", connect("good.example:"), malformed},
		{saysOneHost, "odd ports", connect("good.example:0443") + "; " + connect("good.example:+443") + "; " + connect("good.example:65979"), `.* 40[03] .* 40[03] .* 40[03] .*`},
		{saysOneHost, "https by the wrong door", get("https://good.example/", "good.example"), malformed},
		{saysOneHost, "ftp", get("ftp://good.example/", "good.example"), malformed},
	}
}

// smuggling sends what two parsers would read as two different things. Nobody
// but plain.example may ever be asked for anything.
func smuggling() []attack {
	const host = `Host: plain.example\r\n`
	second := `GET http://evilplain.example/ HTTP/1.1\r\nHost: evilplain.example\r\n\r\n`
	attacks := []attack{
		{saysOneHost, "second request on a connection", send(`GET http://plain.example/ HTTP/1.1\r\n` + host + `\r\n` + second), `.* 200 OK.*403 Denied.*`},
		{saysOneHost, "body that is a request", send(`GET http://plain.example/ HTTP/1.1\r\n` + host + `Content-Length: 5\r\n\r\nhello` + second), `.* 200 OK.*403 Denied.*`},
		{saysOneHost, "connect inside a request", send(`GET http://plain.example/ HTTP/1.1\r\n` + host + `\r\nCONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n`), `.* 200 OK.*403 Denied.*`},
		{saysOneHost, "upgrade to another protocol", send(`GET http://plain.example/ HTTP/1.1\r\n` + host + `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`), `.* 200 OK.*`},
		{saysOneHost, "HTTP/2 without asking", send(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`), `.* 400 .*`},
		{saysOneHost, "connect in a tunnel of http", send(`CONNECT plain.example:80 HTTP/1.1\r\nHost: plain.example:80\r\n\r\n` + second), `.*200 Connection established.* 40[03] .*`},
		{saysOneHost, "host header in a tunnel of http", send(`CONNECT plain.example:80 HTTP/1.1\r\nHost: plain.example:80\r\n\r\nGET / HTTP/1.1\r\nHost: evilplain.example\r\n\r\n`), `.*200 Connection established.* 40[03] .*`},
	}
	for _, s := range []struct{ name, head string }{
		{"content length and chunks", `GET http://plain.example/ HTTP/1.1\r\n` + host + `Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`},
		{"chunks and content length", `POST http://plain.example/ HTTP/1.1\r\n` + host + `Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n`},
		{"two content lengths", `POST http://plain.example/ HTTP/1.1\r\n` + host + `Content-Length: 0\r\nContent-Length: 50\r\n\r\n`},
		{"content length with a sign", `POST http://plain.example/ HTTP/1.1\r\n` + host + `Content-Length: +5\r\n\r\n`},
		{"content length list", `POST http://plain.example/ HTTP/1.1\r\n` + host + `Content-Length: 5, 5\r\n\r\n`},
		{"strange coding", `POST http://plain.example/ HTTP/1.1\r\n` + host + `Transfer-Encoding: xchunked\r\n\r\n`},
		{"coding with a tab", `POST http://plain.example/ HTTP/1.1\r\n` + host + `Transfer-Encoding:\tchunked, identity\r\n\r\n`},
		{"header that goes on", `GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\n evilplain.example\r\n\r\n`},
		{"bare line feed", `GET http://plain.example/ HTTP/1.1\r\n` + host + `X: y\n\r\n`},
		{"bare carriage return", `GET http://plain.example/ HTTP/1.1\r\n` + host + `X: y\rHost: evilplain.example\r\n\r\n`},
		{"space before the colon", `GET http://plain.example/ HTTP/1.1\r\nHost : evilplain.example\r\n` + host + `\r\n`},
		{"zero byte in a header", `GET http://plain.example/ HTTP/1.1\r\n` + host + `X: \x00\r\n\r\n`},
		{"two spaces", `GET  http://plain.example/ HTTP/1.1\r\n` + host + `\r\n`},
		{"three words after", `GET http://plain.example/ HTTP/1.1 evil\r\n` + host + `\r\n`},
		{"http/0.9", `GET http://plain.example/\r\n\r\n`},
		{"line break in the target", `CONNECT good.example:443\x0d\x0a HTTP/1.1\r\n\r\n`},
		{"body for connect", `CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\nContent-Length: 10\r\n\r\n`},
	} {
		attacks = append(attacks, attack{saysOneHost, s.name, send(s.head + second), `.* 40[0-9] .*`})
	}
	return attacks
}
